package httpapi

import (
	"net"
	"net/netip"
	"os"
	"strings"
)

// onlyLocal reports whether a listener is reached from this machine alone.
func onlyLocal(l net.Listener) bool {
	if l == nil {
		return false
	}
	address, tcp := l.Addr().(*net.TCPAddr)
	return tcp && address.IP.IsLoopback()
}

// localName reports whether the header Host names this machine in a way that no foreign name
// can: by an address, as localhost or a name below it, or by the machine's own name. Clients
// without the header are no browsers.
func localName(host string) bool {
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	host = strings.ToLower(strings.TrimSuffix(host, "."))
	if host == "" || host == "localhost" || strings.HasSuffix(host, ".localhost") {
		return true
	}
	if _, err := netip.ParseAddr(strings.Trim(host, "[]")); err == nil {
		return true
	}
	own, err := os.Hostname()
	return err == nil && host == strings.ToLower(own)
}
