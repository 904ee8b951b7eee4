package serve

import (
	"os"

	"clockwork/cmd/clockwork/cli"
	"clockwork/pkg/adapter/yamlfile"
	"clockwork/pkg/core/quota"
)

// maxLimits bounds a file of limits, in bytes: about ten thousand lines.
const maxLimits = 1 << 20

// readLimits reads a file of limits; base gives the values that the file does not set.
func readLimits(path string, base quota.Rules) (quota.Rules, error) {
	if path == "" {
		return base, nil
	}
	info, err := os.Stat(path)
	if err != nil {
		return base, cli.Usagef("--limits: %v", err)
	}
	if info.Size() > maxLimits {
		return base, cli.Usagef("--limits %s: it has %d bytes, at most %d are read", path, info.Size(), maxLimits)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return base, cli.Usagef("--limits: %v", err)
	}
	rules, err := yamlfile.Limits(text, base)
	if err != nil {
		return base, cli.Usagef("--limits %s: %v", path, err)
	}
	return rules, nil
}
