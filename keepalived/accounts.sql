-- cmp-relay: the accounts of a pair, the same on both nodes. Run it as root on each, with
--   mariadb < /root/cmp-relay-accounts.sql
-- then remove it: it holds passwords. It may be run again. Nothing of it goes into the binary log.

SET SESSION sql_log_bin = 0;
CREATE DATABASE IF NOT EXISTS relay CHARACTER SET utf8mb4;

-- The relay's own: its rows, and nothing else.
CREATE OR REPLACE USER relay@'127.0.0.1' IDENTIFIED BY '@relay_password@';
GRANT SELECT, INSERT, UPDATE, DELETE ON relay.* TO relay@'127.0.0.1';

-- By which one server follows the other.
CREATE OR REPLACE USER repl@'@first@' IDENTIFIED BY '@repl_password@';
GRANT REPLICATION SLAVE ON *.* TO repl@'@first@';
CREATE OR REPLACE USER repl@'@second@' IDENTIFIED BY '@repl_password@';
GRANT REPLICATION SLAVE ON *.* TO repl@'@second@';

-- By which a relay looks at the other node's server: commits are confirmed by it, and a rebuild reads rows.
CREATE OR REPLACE USER relaymon@'@first@' IDENTIFIED BY '@relaymon_password@';
CREATE OR REPLACE USER relaymon@'@second@' IDENTIFIED BY '@relaymon_password@';
#{case debian}
GRANT SLAVE MONITOR, BINLOG MONITOR ON *.* TO relaymon@'@first@';
GRANT SLAVE MONITOR, BINLOG MONITOR ON *.* TO relaymon@'@second@';
#{case centos7}
GRANT REPLICATION CLIENT ON *.* TO relaymon@'@first@';
GRANT REPLICATION CLIENT ON *.* TO relaymon@'@second@';
#{end}
GRANT SELECT ON relay.* TO relaymon@'@first@';
GRANT SELECT ON relay.* TO relaymon@'@second@';

-- By which a relay controls its own server: it alone writes to a fenced one. It reads the accounts for
-- `ha doctor`. On this machine alone: whoever holds its password can do with the server as they please.
CREATE OR REPLACE USER relayha@'127.0.0.1' IDENTIFIED BY '@relayha_password@';
#{case debian}
GRANT READ_ONLY ADMIN, REPLICATION SLAVE ADMIN, REPLICATION MASTER ADMIN, SLAVE MONITOR, BINLOG MONITOR,
  BINLOG ADMIN, CONNECTION ADMIN, RELOAD, PROCESS ON *.* TO relayha@'127.0.0.1';
#{case centos7}
GRANT SUPER, REPLICATION CLIENT, RELOAD, PROCESS ON *.* TO relayha@'127.0.0.1';
#{end}
GRANT SELECT, INSERT, UPDATE, DELETE, CREATE, ALTER, INDEX, DROP, REFERENCES ON relay.* TO relayha@'127.0.0.1';
GRANT SELECT ON mysql.* TO relayha@'127.0.0.1';
