// Package keys makes the users of a broker with roles: an nkey for each, the
// configuration that says who may do what, and certificates. Everything lies in one
// directory, which belongs to whoever runs the stack; the broker is given its part,
// and each process its own file.
//
//	ROLE.nk, ROLE.NAME.nk     the seed of a user, mode 0600; made once
//	tls/USER.pem, .key        the certificate of a user, and tls/ca.*, which all come from
//	broker/users.conf         the users, with public keys; made anew each time
//	broker/nats.conf, nats-tls.conf, nats-cluster-tls.conf    settings; made once
//	broker/server.*, ca.pem, certificates.conf                the broker's certificate
//
// To take a key back, remove its file and write the directory again.
//
// Roles are written as allow-lists in deploy/users.conf.tmpl. It is called by
// clockwork keys, from one goroutine; it connects to nobody.
package keys
