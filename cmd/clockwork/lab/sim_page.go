package lab

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"clockwork/cmd/clockwork/cli"
	"clockwork/pkg/lab/page"
	"clockwork/pkg/lab/sim"
)

func reports(jobs []*simJob) []*sim.Report {
	var runs []*sim.Report
	for _, j := range jobs {
		runs = append(runs, j.report)
	}
	return runs
}

// page returns the page about the runs.
func (d simDocument) page(jobs []*simJob) page.Page {
	runs := reports(jobs)
	table := page.Table{Columns: []string{""}, Rows: d.rows()}
	for _, r := range d.Runs {
		table.Columns = append(table.Columns, r.Policy)
	}
	p := page.Page{Title: d.title(), Notes: d.Notes, Cards: page.Cards(runs)}
	p.Sections = append(page.Figures(runs), page.Section{Title: "In numbers", Tables: []page.Table{table}})
	return p
}

// canWrite checks before a long run whether the file of a flag can be written at its
// end. It leaves no new file, since the run may be interrupted, and does not change an
// existing one.
func canWrite(flag, path string) error {
	if path == "" || isDevice(path) {
		return nil
	}
	file, err := os.OpenFile(path, os.O_WRONLY, 0)
	if errors.Is(err, os.ErrNotExist) {
		file, err = createBeside(path)
		if err == nil {
			defer os.Remove(file.Name())
		}
	}
	if err != nil {
		var at *os.PathError
		if errors.As(err, &at) {
			err = at.Err // not the path, which is that of the temporary file
		}
		return cli.Usagef("--%s %s: %s", flag, path, err)
	}
	return file.Close()
}

// writePage writes a page to a file atomically.
func writePage(path string, p page.Page) error {
	var body bytes.Buffer
	if err := p.Write(&body); err != nil {
		return err
	}
	if err := put(path, body.Bytes()); err != nil {
		return fmt.Errorf("write page: %w", err)
	}
	return nil
}

// put replaces a file atomically. A device, or a file in a directory without write
// permission, is written in place.
func put(path string, body []byte) error {
	if target, err := filepath.EvalSymlinks(path); err == nil {
		path = target
	}
	if isDevice(path) {
		return os.WriteFile(path, body, 0o666)
	}
	file, err := createBeside(path)
	if errors.Is(err, os.ErrPermission) {
		return os.WriteFile(path, body, 0o666)
	}
	if err != nil {
		return err
	}
	_, err = file.Write(body)
	if err = errors.Join(err, file.Close()); err == nil {
		err = os.Rename(file.Name(), path)
	}
	if err != nil {
		return errors.Join(err, os.Remove(file.Name()))
	}
	return nil
}

// createBeside creates the temporary file that is renamed to path when it is complete.
func createBeside(path string) (*os.File, error) {
	return os.OpenFile(fmt.Sprintf("%s.%d.part", path, os.Getpid()), os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o666)
}

// isDevice reports whether path exists and is neither a file nor a directory, such as
// /dev/stdout.
func isDevice(path string) bool {
	at, err := os.Stat(path)
	return err == nil && !at.Mode().IsRegular() && !at.IsDir()
}
