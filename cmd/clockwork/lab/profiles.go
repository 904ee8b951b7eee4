package lab

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"

	"clockwork/cmd/clockwork/cli"
	"clockwork/pkg/lab/hardware"
	"clockwork/pkg/protocol"
)

// Profiles has the commands about measurements of a stack.
type Profiles struct {
	Export ProfilesExport `cmd:"" help:"Write what the running stack was measured to do into a file, as hardware for clockwork sim."`
}

// ProfilesExport writes profiles, and durations from an action log.
type ProfilesExport struct {
	File      string   `arg:"" type:"path" help:"The file to write."`
	ActionLog []string `type:"existingfile" env:"-" placeholder:"FILE" help:"Take what executions and messages took from an action log of the stack (--action-log); without it a simulation has the profiles, and noise of its own."`
	As        []string `env:"-" placeholder:"PATH=zoo/NAME" help:"Which model of the zoo a model stands for, by the path that it was loaded from; by default the one of the same name."`
	GPUType   string   `name:"gpu-type" env:"-" placeholder:"TYPE" help:"The type of GPU, where models were measured on several."`
}

// Run writes the file and says what is in it.
func (p *ProfilesExport) Run(c *cli.Flags, con *cli.Console) error {
	as, err := p.as()
	if err != nil {
		return err
	}
	log, err := p.observed()
	if err != nil {
		return err
	}
	ctx, cancel := cli.Interruptible()
	defer cancel()
	stack, err := c.Connect()
	if err != nil {
		return err
	}
	defer stack.Close()
	list, refusal := stack.Models(ctx)
	if refusal != nil {
		return cli.Interrupted(ctx, refusal)
	}
	made, err := hardware.Export(list.Models, p.GPUType, as, log)
	if err != nil {
		return cli.WithCode(protocol.InvalidInput, err)
	}
	if err := p.write(made); err != nil {
		return err
	}
	return p.show(c, con, made, log)
}

// as returns the paths of --as.
func (p *ProfilesExport) as() (map[string]string, error) {
	all := map[string]string{}
	for _, text := range p.As {
		from, to, both := strings.Cut(text, "=")
		if !both || from == "" || to == "" {
			return nil, cli.Usagef("--as %s: expected PATH=zoo/NAME, as in squeezenet=zoo/cpu_squeezenet", text)
		}
		all[from] = to
	}
	return all, nil
}

// observed reads the action logs, nil without any.
func (p *ProfilesExport) observed() (*hardware.Observed, error) {
	var log *hardware.Observed
	for _, name := range p.ActionLog {
		f, err := os.Open(name)
		if err != nil {
			return nil, cli.Usage(err)
		}
		if log == nil {
			log = hardware.NewObserved()
		}
		err = log.Read(f)
		_ = f.Close() // it was only read
		if err != nil {
			return nil, cli.Usage(fmt.Errorf("%s: %w", name, err))
		}
	}
	return log, nil
}

// write makes the file, which must not exist.
func (p *ProfilesExport) write(h *hardware.Hardware) error {
	body, err := json.MarshalIndent(h, "", " ")
	if err != nil {
		return fmt.Errorf("write hardware: %w", err)
	}
	f, err := os.OpenFile(p.File, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if errors.Is(err, fs.ErrExist) {
		return cli.Usagef("%s exists; give another name or remove it", p.File)
	}
	if err != nil {
		return cli.Usage(err)
	}
	_, err = bytes.NewReader(append(body, '\n')).WriteTo(f)
	return errors.Join(err, f.Close())
}

// show prints what was written.
func (p *ProfilesExport) show(c *cli.Flags, con *cli.Console, h *hardware.Hardware, log *hardware.Observed) error {
	if c.JSON {
		return cli.PrintJSON(con.Out, h)
	}
	for i := range h.Models {
		m := &h.Models[i]
		fmt.Fprintf(con.Out, "%s\n", m.Path)
		for _, b := range m.Infer {
			fmt.Fprintf(con.Out, "  batch %2d: profiled %8.3f ms", b.Batch, b.P50.Seconds()*1e3)
			if b.Took != nil {
				fmt.Fprintf(con.Out, ", took %8.3f ms on average, p50 %8.3f, p99 %8.3f",
					b.Took.Mean().Seconds()*1e3, b.Took.At(0.5).Seconds()*1e3, b.Took.At(0.99).Seconds()*1e3)
			}
			fmt.Fprintln(con.Out)
		}
	}
	if log != nil {
		fmt.Fprintf(con.Out, "%d executions in %d lines\n", log.Executions, log.Lines)
	}
	return nil
}
