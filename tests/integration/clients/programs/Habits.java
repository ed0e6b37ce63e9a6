// A program that uses JDBC, with whichever driver the URL in its environment names.
import java.math.BigDecimal;
import java.sql.*;
import java.util.*;

public class Habits {
    static void expect(boolean fine, Object what) {
        if (!fine) throw new AssertionError(what);
    }

    static Connection connect(String options) throws SQLException {
        Map<String, String> env = System.getenv();
        return DriverManager.getConnection(
            "jdbc:" + env.get("JDBC") + "://" + env.get("DB_HOST") + ":" + env.get("DB_PORT") + "/" + env.get("DB_NAME")
                + "?" + options, env.get("DB_USER"), env.get("DB_PASSWORD"));
    }

    static long insert(Connection connection, String name, Timestamp seen, BigDecimal price, byte[] data)
            throws SQLException {
        try (PreparedStatement insert = connection.prepareStatement(
                "insert into person (name, seen, price, data) values (?, ?, ?, ?)", Statement.RETURN_GENERATED_KEYS)) {
            insert.setString(1, name);
            insert.setTimestamp(2, seen);
            insert.setBigDecimal(3, price);
            insert.setBytes(4, data);
            expect(insert.executeUpdate() == 1, "one row");
            ResultSet keys = insert.getGeneratedKeys();
            expect(keys.next(), "a key");
            return keys.getLong(1);
        }
    }

    static void run(String options) throws SQLException {
        try (Connection connection = connect(options)) {
            expect(connection.isValid(5), "valid");
            byte[] data = new byte[256];
            for (int i = 0; i < 256; i++) data[i] = (byte) i;
            Timestamp seen = Timestamp.valueOf("2024-02-29 23:59:59.123456");
            BigDecimal price = new BigDecimal("12345678901234.567890");
            long id = insert(connection, "Zoë 🐍", seen, price, data);
            long empty = insert(connection, "nothing", null, null, null);
            expect(id >= 1000 && empty > id, id);
            try (PreparedStatement select = connection.prepareStatement("select * from person where id = ?")) {
                select.setLong(1, id);
                ResultSet rows = select.executeQuery();
                expect(rows.next() && rows.getString("name").equals("Zoë 🐍"), "name");
                expect(rows.getTimestamp("seen").equals(seen) && rows.getBigDecimal("price").equals(price), "values");
                expect(Arrays.equals(rows.getBytes("data"), data) && rows.getString("note") == null, "data");
                select.setLong(1, empty);
                rows = select.executeQuery();
                expect(rows.next() && rows.getTimestamp("seen") == null && rows.wasNull(), "null");
            }
            try (PreparedStatement batch = connection.prepareStatement("insert into person (name) values (?)")) {
                for (int i = 0; i < 20; i++) {
                    batch.setString(1, "batch " + i);
                    batch.addBatch();
                }
                expect(batch.executeBatch().length == 20, "batch");
            }
            connection.setTransactionIsolation(Connection.TRANSACTION_READ_COMMITTED);
            connection.setAutoCommit(false);
            try (Statement statement = connection.createStatement()) {
                statement.executeUpdate("update person set score = 1 where id = " + id);
                Savepoint here = connection.setSavepoint("here");
                statement.executeUpdate("delete from person");
                connection.rollback(here);
                connection.commit();
                statement.executeUpdate("delete from person");
                connection.rollback();
                ResultSet rows = statement.executeQuery("select id from person where name like 'batch%'");
                int count = 0;
                while (rows.next()) count++;
                expect(count % 20 == 0 && count > 0, count);
                try {
                    statement.executeUpdate("insert into person (id, name) values (" + id + ", 'again')");
                    expect(false, "a duplicate");
                } catch (SQLIntegrityConstraintViolationException duplicate) {
                    expect(duplicate.getErrorCode() == 1062, duplicate);
                }
                connection.commit();
            }
            connection.setAutoCommit(true);
            DatabaseMetaData meta = connection.getMetaData();
            Set<String> tables = new HashSet<>(), columns = new HashSet<>(), catalogs = new HashSet<>();
            String catalog = connection.getCatalog();
            ResultSet rows = meta.getTables(catalog, null, "person", null);
            while (rows.next()) tables.add(rows.getString("TABLE_NAME"));
            rows = meta.getColumns(catalog, null, "person", "%");
            while (rows.next()) columns.add(rows.getString("COLUMN_NAME"));
            rows = meta.getCatalogs();
            while (rows.next()) catalogs.add(rows.getString(1));
            rows = meta.getPrimaryKeys(catalog, null, "person");
            expect(tables.equals(Set.of("person")) && columns.size() == 8, tables + " " + columns);
            expect(catalogs.containsAll(Set.of("customer", "product")), catalogs);
            expect(rows.next() && rows.getString("COLUMN_NAME").equals("id"), "primary key");
            meta.getImportedKeys(catalog, null, "person").close();
            meta.getIndexInfo(catalog, null, "person", false, true).close();
        }
    }

    public static void main(String[] arguments) throws SQLException {
        for (String options : System.getenv("OPTIONS").split(";")) run(options);
        System.out.println("all is well");
    }
}
