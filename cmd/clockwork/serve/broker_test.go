package serve

import (
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"clockwork/cmd/clockwork/cli"
)

// Whatever configuration a broker has, its data directory is its own.
func TestABrokersDataDirectoryIsItsOwn(t *testing.T) {
	dir := t.TempDir()
	data := filepath.Join(dir, "data")
	configured := func(name string) func() (*Broker, error) {
		file := filepath.Join(dir, name)
		if err := os.WriteFile(file, fmt.Appendf(nil, "listen: 127.0.0.1:-1\njetstream { store_dir: %q }\n", data), 0o600); err != nil {
			t.Fatal(err)
		}
		return func() (*Broker, error) { return StartConfigured(testConsole(t), file, "", "", false) }
	}
	starts := []func() (*Broker, error){
		func() (*Broker, error) {
			return StartBroker(testConsole(t), "clockwork", "127.0.0.1:0", data, OpenFlag{})
		},
		configured("one.conf"),
		configured("other.conf"),
	}
	for i, first := range starts {
		b, err := first()
		if err != nil {
			t.Fatal(err)
		}
		for k, second := range starts {
			if other, err := second(); err == nil {
				other.Stop()
				t.Errorf("broker %d runs on the data of broker %d", k, i)
			} else if !strings.Contains(err.Error(), "is another broker's") {
				t.Errorf("broker %d beside broker %d: %v", k, i, err)
			}
		}
		b.Stop()
	}
}

func testConsole(t *testing.T) *cli.Console {
	t.Helper()
	return &cli.Console{Log: slog.New(slog.DiscardHandler)}
}
