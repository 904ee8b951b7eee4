// Package deploy holds the files that a broker with roles is run with, for
// clockwork keys to write out beside the keys.
package deploy

import "embed"

// Broker are the broker's settings: nats.conf and those that build on it, and
// the template of users.conf, the roles.
//
//go:embed nats.conf nats-tls.conf nats-cluster-tls.conf users.conf.tmpl
var Broker embed.FS
