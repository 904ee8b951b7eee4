package serve

import (
	"net"
	"strconv"

	"clockwork/cmd/clockwork/cli"
)

// LocalAddress is an address for clients on this machine, also if it is of a listener on every
// address.
func LocalAddress(address string) string {
	if host, port, err := net.SplitHostPort(address); err == nil && net.ParseIP(host).IsUnspecified() {
		return net.JoinHostPort("127.0.0.1", port)
	}
	return address
}

// splitAddress reads where a flag has something listen. What cannot be one is found before
// anything starts; names of ports are none, since not every host knows the same.
func splitAddress(flag, value string) (host string, port int, err error) {
	host, text, err := net.SplitHostPort(value)
	if err != nil {
		return "", 0, cli.Usagef("%s %s is no address; expected HOST:PORT, as in 127.0.0.1:8000", flag, value)
	}
	if port, err = strconv.Atoi(text); err != nil || port < 0 || port > 65535 {
		return "", 0, cli.Usagef("%s %s: %q is no port", flag, value, text)
	}
	return host, port, nil
}
