// Package access says who may use a gateway: clients that show one of the tokens in a file,
// each of which stands for a tenant, over TLS where there is a certificate. Files are read
// again when they change, so that tokens and certificates are replaced without a restart.
//
// A Gate is asked for each request, by any goroutine. It does not limit what tenants may send
// (pkg/core/quota), nor how often wrong tokens are tried: a token has 256 random bits.
package access
