// A program that uses Node's mysql2, by its promises: its address is in its environment.
'use strict';
const assert = require('node:assert');
const mysql = require('mysql2/promise');

const address = {
  host: process.env.DB_HOST, port: Number(process.env.DB_PORT), user: process.env.DB_USER,
  password: process.env.DB_PASSWORD, database: process.env.DB_NAME, charset: 'utf8mb4', timezone: 'Z',
};
const COLUMNS = 'name, born, price, data, score, note';

async function main() {
  const pool = mysql.createPool({ ...address, connectionLimit: 3, dateStrings: true });
  const data = Buffer.from(Array.from({ length: 256 }, (_, n) => n));
  const row = ['Zoë 🐍 \'quoted\'', '1999-12-31', '12345678901234.567890', data, 1.5, null];
  const insert = `insert into person (${COLUMNS}) values (?, ?, ?, ?, ?, ?)`;
  for (const how of ['query', 'execute']) {
    const [made] = await pool[how](insert, row);
    assert.strictEqual(made.affectedRows, 1);
    assert.ok(made.insertId >= 1000);
    const [[found]] = await pool[how](`select ${COLUMNS} from person where id = ?`, [made.insertId]);
    assert.deepStrictEqual(Object.values(found), row);
  }
  const [many] = await pool.query('insert into person (name) values ?', [[['a'], ['b'], ['c'], ['d']]]);
  assert.strictEqual(many.affectedRows, 4);
  const ids = [0, 1, 2, 3].map((n) => many.insertId + n);
  const [named] = await pool.execute('select id, name from person where id in (?, ?, ?, ?)', ids);
  assert.deepStrictEqual(named.map((one) => one.name).sort(), ['a', 'b', 'c', 'd']);

  const connection = await pool.getConnection();
  await connection.beginTransaction();
  await connection.execute('update person set score = ? where id = ?', [9, ids[0]]);
  await connection.query('savepoint here');
  await connection.execute('delete from person where name in (?, ?)', ['a', 'b']);
  await connection.query('rollback to savepoint here');
  await connection.commit();
  await connection.beginTransaction();
  await connection.query('delete from person');
  await connection.rollback();
  const [after] = await connection.query('select name, score from person where score is not null');
  assert.strictEqual(after.length, 3);
  await assert.rejects(connection.execute('insert into person (id, name) values (?, ?)', [ids[0], 'again']),
    (error) => error.errno === 1062 && error.code === 'ER_DUP_ENTRY' && error.sqlState === '23000');
  await assert.rejects(connection.query('selectt 1'), (error) => error.errno === 1064);
  const prepared = await connection.prepare('select name from person where id = ?');
  for (const id of ids) assert.strictEqual((await prepared.execute([id]))[0].length, 1);
  await prepared.close();
  await connection.ping();
  await connection.changeUser({ user: address.user, password: address.password, database: address.database })
    .catch((error) => { if (error.errno !== 1047 && error.errno !== 1235) throw error; });
  connection.release();

  const [tables] = await pool.query('show tables');
  assert.ok(tables.some((one) => Object.values(one)[0] === 'person'));
  const [columns] = await pool.query(
    'select column_name as name from information_schema.columns where table_schema = ? and table_name = ?',
    [address.database, 'person']);
  assert.strictEqual(columns.length, 8);
  await pool.end();

  const streaming = await mysql.createConnection({ ...address, rowsAsArray: true, supportBigNumbers: true });
  const seen = new Set();
  for await (const [id] of streaming.connection.query('select id from person').stream()) seen.add(id);
  assert.strictEqual(seen.size, 6);
  await streaming.end();
  console.log('all is well');
}

main().catch((error) => { console.error(error); process.exit(1); });
