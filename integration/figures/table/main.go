// Command table writes the recorded results of the kill matrix into a document:
//
//	go run ./integration/figures/table bin/matrix.jsonl docs/guarantees.md
package main

import (
	"fmt"
	"os"

	"clockwork/integration/figures"
)

func main() {
	if len(os.Args) != 3 {
		fmt.Fprintln(os.Stderr, "usage: table RECORDED DOCUMENT")
		os.Exit(2)
	}
	if err := put(os.Args[1], os.Args[2]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func put(recorded, document string) error {
	file, err := os.Open(recorded)
	if err != nil {
		return err
	}
	defer func() { _ = file.Close() }()
	cells, err := figures.Read(file)
	if err != nil {
		return err
	}
	for _, c := range cells {
		if c.Failed {
			return fmt.Errorf("%s failed: there is no table of that", c.Test)
		}
	}
	text, err := os.ReadFile(document)
	if err != nil {
		return err
	}
	with, err := figures.Put(string(text), figures.Begin, figures.End, figures.Table(cells))
	if err != nil {
		return fmt.Errorf("%s: %w", document, err)
	}
	return os.WriteFile(document, []byte(with), 0o644)
}
