package lab

import (
	"errors"
	"fmt"
	"os"

	"clockwork/cmd/clockwork/cli"
	"clockwork/pkg/core/sched"
	"clockwork/pkg/lab/policies"
	"clockwork/pkg/lab/record"
	"clockwork/pkg/lab/replay"
	"clockwork/pkg/watch/terminal"
)

// recording is a file into which a simulation is recorded.
type recording struct {
	record.Observer
	file *os.File
}

// createRecording begins a recording of a simulation with this configuration of its cores.
func createRecording(path string, config policies.Config) (*recording, error) {
	file, err := cli.CreateRecord("--record", path)
	if err != nil {
		return nil, err
	}
	w, err := record.NewWriter(file)
	if err != nil {
		return nil, errors.Join(err, file.Close())
	}
	return &recording{record.Observer{Writer: w, Config: config}, file}, nil
}

// close ends the recording and returns its first error.
func (r *recording) close() error {
	if err := errors.Join(r.Close(), r.file.Close()); err != nil && r.Err == nil {
		r.Err = err
	}
	return r.Err
}

// verified replays a recording from a file, with observers of its cores.
func verified(path string, observe ...sched.Observer) (*replay.Verdict, error) {
	r, file, err := openRecording(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	verdict, err := replay.Verify(r, observe...)
	switch {
	case err == nil:
		return verdict, nil
	case verdict.Events > 0:
		return nil, fmt.Errorf("%s: %w; %s over %s stand before it", path, err, cli.Count(int(verdict.Events), "event"), terminal.Duration(verdict.To.Sub(verdict.From)))
	}
	return nil, fmt.Errorf("%s: %w", path, err)
}

// unclosed says where an unclosed recording ends.
func unclosed(v *replay.Verdict) string {
	if v.Events == 0 {
		return fmt.Sprintf("The recording ends without a close, after byte %d and before its first event: what came later is not in it.", v.Whole)
	}
	return fmt.Sprintf("The recording ends without a close, %s after its first event and after byte %d: what came later is not in it.",
		terminal.Duration(v.To.Sub(v.From)), v.Whole)
}

// openRecording opens a recording for reading.
func openRecording(path string) (*record.Reader, *os.File, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, nil, cli.Usage(err)
	}
	r, err := record.NewReader(file)
	if err != nil {
		return nil, nil, errors.Join(fmt.Errorf("%s: %w", path, err), file.Close())
	}
	return r, file, nil
}
