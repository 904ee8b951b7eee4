package bus

import (
	"errors"
	"net/url"
	"strconv"
	"strings"
)

// errAddress quotes nothing of an address: there may be a password in it.
var errAddress = errors.New("it is no address of a broker, such as nats://127.0.0.1:4222")

// CheckAddresses returns an error for addresses of brokers that can never be reached: a
// list separated by commas, each nats://HOST:PORT, the scheme and the port left out or not.
func CheckAddresses(urls string) error {
	for _, one := range strings.Split(urls, ",") {
		one = strings.TrimSpace(one)
		if !strings.Contains(one, "://") {
			one = "nats://" + one
		}
		u, err := url.Parse(one)
		if err != nil || u.Hostname() == "" {
			return errAddress
		}
		switch u.Scheme {
		case "nats", "tls", "ws", "wss":
		default:
			return errAddress
		}
		if port := u.Port(); port != "" {
			if n, err := strconv.Atoi(port); err != nil || n < 1 || n > 65535 {
				return errAddress
			}
		}
	}
	return nil
}
