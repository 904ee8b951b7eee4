package main

import (
	"fmt"
	"os"

	"clockwork/cmd/clockwork/cli"
	"clockwork/pkg/adapter/access"
)

type tokenCommand struct {
	Tenant string `arg:"" help:"Whose token it is: the name by which limits, metrics and the request log know the client."`
	File   string `arg:"" type:"path" help:"The file of tokens that gateways read (--tokens); the token's hash is appended, and the file made if it is not there."`
}

// Run prints a token, once: the file has its hash alone.
func (k *tokenCommand) Run(c *cli.Flags, con *cli.Console) error {
	token, line, err := access.NewToken(k.Tenant)
	if err != nil {
		return cli.Usage(err)
	}
	if err := appendLine(k.File, line); err != nil {
		return fmt.Errorf("keep the token's hash: %w", err)
	}
	if c.JSON {
		return cli.PrintJSON(con.Out, map[string]string{"tenant": k.Tenant, "token": token})
	}
	_, err = fmt.Fprintln(con.Out, token)
	return err
}

// appendLine appends a line to a file that others read: whole, or not at all.
func appendLine(name, line string) error {
	file, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	info, err := file.Stat()
	if err == nil && info.Size() > 0 {
		last := make([]byte, 1)
		if _, err = file.ReadAt(last, info.Size()-1); err == nil && last[0] != '\n' {
			line = "\n" + line // somebody wrote it by hand
		}
	}
	if err == nil {
		_, err = file.WriteString(line)
	}
	if closed := file.Close(); err == nil {
		err = closed
	}
	return err
}
