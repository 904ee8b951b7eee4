// Package keys creates the users of a broker with roles: an nkey for each, the
// configuration that says who may do what, and certificates. All files are in one
// directory, which belongs to the operator of the stack; the broker gets its part of it,
// and each process its own file.
//
//	ROLE.nk, ROLE.NAME.nk     the seed of a user, mode 0600; created once
//	tls/USER.pem, .key        a user's certificate, signed by the authority tls/ca.*
//	broker/users.conf         the users, with public keys; written each time
//	broker/nats.conf, nats-tls.conf, nats-cluster-tls.conf    settings; created once
//	broker/server.*, ca.pem, certificates.conf                the broker's certificate
//
// To revoke a key, remove its file and write the directory again.
//
// Roles are allow-lists in deploy/users.conf.tmpl. clockwork keys calls the package,
// from one goroutine; the package opens no connections.
package keys
