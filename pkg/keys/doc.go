// Package keys makes the users of a broker with roles: an nkey for each, the
// configuration that says who may do what, and certificates. Everything lies in one
// directory, which belongs to whoever runs the stack; a process is given its own
// file out of it.
//
//	users.conf                the users, with public keys; made anew each time
//	nats.conf, nats-tls.conf, nats-cluster-tls.conf    settings; made once
//	ROLE.nk, ROLE.NAME.nk     the seed of a user, mode 0600; made once
//	tls/ca.pem, ca.key        the authority; tls/server.*, tls/USER.* come from it
//	certificates.conf         where those are
//
// To take a key back, remove its file and write the directory again.
//
// Roles are written as allow-lists in deploy/users.conf.tmpl. It is called by
// clockwork keys, from one goroutine; it connects to nobody.
package keys
