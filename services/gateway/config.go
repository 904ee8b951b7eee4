package gateway

import (
	"fmt"

	"clockwork/pkg/adapter/access"
	"clockwork/services/frontdoor"
	"clockwork/services/gateway/grpcapi"
	"clockwork/services/gateway/httpapi"
)

// Config is the configuration of a gateway.
type Config struct {
	// Config is that of its front door.
	frontdoor.Config
	// HTTP and GRPC are those of its ingresses; one without a listener is not heard.
	HTTP httpapi.Config
	GRPC grpcapi.Config
	// Gate lets clients in; nil lets everybody in, without TLS.
	Gate *access.Gate
	// Version is this build's, as clients are told.
	Version string
	// ReadingBytes bounds the bodies that are being read, all together; beyond: OVERLOADED.
	ReadingBytes int64
}

func DefaultConfig() Config {
	return Config{Config: frontdoor.DefaultConfig(), HTTP: httpapi.DefaultConfig(), GRPC: grpcapi.DefaultConfig(), ReadingBytes: 256 << 20}
}

// Validate returns an error that names the first invalid field.
func (c Config) Validate() error {
	if c.ReadingBytes <= 0 {
		return fmt.Errorf("the bound of the bodies that are being read must be positive")
	}
	if err := c.HTTP.Validate(); err != nil {
		return err
	}
	if err := c.GRPC.Validate(); err != nil {
		return err
	}
	return c.Config.Validate()
}
