create table customer (
  customer_id bigint not null,
  uname varchar(128),
  primary key (customer_id)
);
