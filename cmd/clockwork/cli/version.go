package cli

import (
	"fmt"
	"runtime"
	"runtime/debug"
)

// Version says which build of Clockwork this is.
type Version struct {
	Version string `json:"version"`
	// Commit is what it was built from, "" if the build was not made in a git checkout;
	// Modified: with changes.
	Commit   string `json:"commit,omitempty"`
	Modified bool   `json:"modified,omitempty"`
	Go       string `json:"go"`
	Platform string `json:"platform"`
	// Broker is the version of the nats-server in it.
	Broker string `json:"nats_server,omitempty"`
}

// brokerModule is the embedded broker.
const brokerModule = "github.com/nats-io/nats-server/v2"

// ThisVersion reads what the linker has noted.
func ThisVersion() Version {
	v := Version{Version: "unknown", Go: runtime.Version(), Platform: runtime.GOOS + "/" + runtime.GOARCH}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return v
	}
	v.Version = info.Main.Version
	for _, s := range info.Settings {
		switch s.Key {
		case "vcs.revision":
			v.Commit = s.Value
		case "vcs.modified":
			v.Modified = s.Value == "true"
		}
	}
	for _, dep := range info.Deps {
		if dep.Path == brokerModule {
			v.Broker = dep.Version
		}
	}
	return v
}

// VersionText describes this build to people.
func VersionText() string {
	v := ThisVersion()
	text := "clockwork " + v.Version
	if v.Commit != "" {
		text += ", commit " + v.Commit
	}
	if v.Modified {
		text += " with changes"
	}
	text += fmt.Sprintf("\n%s, %s", v.Go, v.Platform)
	if v.Broker != "" {
		text += ", nats-server " + v.Broker
	}
	return text
}
