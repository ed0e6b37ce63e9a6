// A program that uses Go's database/sql with go-sql-driver/mysql: its address is in its environment.
package main

import (
	"bytes"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/go-sql-driver/mysql"
)

func check(err error) {
	if err != nil {
		panic(err)
	}
}

func expect(fine bool, what ...any) {
	if !fine {
		panic(fmt.Sprint(what...))
	}
}

func run(interpolate bool) {
	config := mysql.NewConfig()
	config.Net, config.Addr = "tcp", os.Getenv("DB_HOST")+":"+os.Getenv("DB_PORT")
	config.User, config.Passwd, config.DBName = os.Getenv("DB_USER"), os.Getenv("DB_PASSWORD"), os.Getenv("DB_NAME")
	config.ParseTime, config.InterpolateParams = true, interpolate
	config.Params = map[string]string{"time_zone": "'+00:00'", "sql_mode": "'TRADITIONAL'"}
	db, err := sql.Open("mysql", config.FormatDSN())
	check(err)
	defer db.Close()
	db.SetMaxOpenConns(3)
	check(db.Ping())

	data := make([]byte, 256)
	for i := range data {
		data[i] = byte(i)
	}
	seen := time.Date(2024, 2, 29, 23, 59, 59, 123456000, time.UTC)
	made, err := db.Exec("insert into person (name, seen, price, data, score) values (?, ?, ?, ?, ?)",
		"Zoë 🐍", seen, "12345678901234.567890", data, 1.5)
	check(err)
	id, err := made.LastInsertId()
	check(err)
	expect(id >= 1000, "id ", id)
	var name, price string
	var when time.Time
	var blob []byte
	var score float64
	var note sql.NullString
	check(db.QueryRow("select name, seen, price, data, score, note from person where id = ?", id).
		Scan(&name, &when, &price, &blob, &score, &note))
	expect(name == "Zoë 🐍" && when.Equal(seen) && price == "12345678901234.567890", name, when, price)
	expect(bytes.Equal(blob, data) && score == 1.5 && !note.Valid, score, note)

	statement, err := db.Prepare("insert into person (name) values (?)")
	check(err)
	for _, one := range []string{"a", "b", "c", "d"} {
		_, err := statement.Exec(one)
		check(err)
	}
	check(statement.Close())
	tx, err := db.Begin()
	check(err)
	_, err = tx.Exec("update person set score = 2 where id = ?", id)
	check(err)
	_, err = tx.Exec("savepoint here")
	check(err)
	_, err = tx.Exec("delete from person where name = ?", "a")
	check(err)
	_, err = tx.Exec("rollback to savepoint here")
	check(err)
	check(tx.Commit())
	tx, err = db.Begin()
	check(err)
	_, err = tx.Exec("delete from person")
	check(err)
	check(tx.Rollback())
	rows, err := db.Query("select id from person where name <> ?", "nobody")
	check(err)
	count := 0
	for rows.Next() {
		count++
	}
	check(rows.Err())
	expect(count >= 5, "rows ", count)
	_, err = db.Exec("insert into person (id, name) values (?, ?)", id, "again")
	var refused *mysql.MySQLError
	expect(errors.As(err, &refused) && refused.Number == 1062, err)
	var database string
	check(db.QueryRow("select database()").Scan(&database))
	expect(database == config.DBName, database)
}

func main() {
	run(false)
	run(true)
	fmt.Println("all is well")
}
