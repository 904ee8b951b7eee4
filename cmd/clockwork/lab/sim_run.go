package lab

import (
	"errors"
	"fmt"
	"runtime"
	"time"

	"clockwork/cmd/clockwork/cli"
	"clockwork/pkg/lab/sim"
	"clockwork/pkg/lab/workload"
)

// simJob is one run of a simulation, and later its result.
type simJob struct {
	label    string
	config   sim.Config
	workload workload.Workload
	report   *sim.Report
	took     time.Duration
	err      error
}

// speed returns how many requests were simulated per second of real time.
func (j *simJob) speed() float64 { return float64(j.report.Offered) / max(1e-9, j.took.Seconds()) }

// advance is the progress of a job; over says that the job has ended.
type advance struct {
	job     *simJob
	now, of time.Duration
	over    bool
}

// runAll runs jobs, as many at a time as there are processors, and shows their progress
// on a terminal.
func runAll(con *cli.Console, jobs []*simJob) error {
	next := make(chan *simJob, len(jobs))
	for _, j := range jobs {
		next <- j
	}
	close(next)
	told := make(chan advance)
	if con.TTY && len(jobs) > 1 {
		con.Display.Bar(allRuns, 0, len(jobs), "") // above those of single runs
	}
	for range min(len(jobs), runtime.GOMAXPROCS(0)) {
		go func() {
			for j := range next {
				j.run(told)
			}
		}()
	}
	for done := 0; done < len(jobs); {
		a := <-told
		if a.over {
			done++
		}
		if con.TTY {
			a.show(con, done, len(jobs))
		}
	}
	if con.TTY {
		con.Display.Remove(allRuns)
	}
	for _, j := range jobs {
		if errors.Is(j.err, sim.ErrBroken) {
			return fmt.Errorf("%s: %w", j.label, j.err)
		}
		if j.err != nil {
			return cli.Usage(fmt.Errorf("%s: %w", j.label, j.err))
		}
	}
	return nil
}

const allRuns = "all runs"

func (a advance) show(con *cli.Console, done, of int) {
	if a.over {
		con.Display.Remove(a.job.label)
	} else {
		unit, name := time.Second, "s simulated"
		if a.of < 20*time.Second {
			unit, name = time.Millisecond, "ms simulated"
		}
		con.Display.Bar(a.job.label, int(min(a.now, a.of-unit)/unit), int(a.of/unit), name)
	}
	if of > 1 && done < of {
		con.Display.Bar(allRuns, done, of, "")
	}
}

func (j *simJob) run(told chan<- advance) {
	begin, last := time.Now(), time.Now()
	j.report, j.err = sim.Run(j.config, j.workload, func(now, of time.Duration) {
		if of > 0 && time.Since(last) > 100*time.Millisecond {
			last = time.Now()
			told <- advance{j, now, of, false}
		}
	})
	j.took = time.Since(begin)
	told <- advance{job: j, over: true}
}

// compare runs each policy on the same workload.
func (s *Sim) compare(con *cli.Console, set setting) error {
	if err := canWrite("html", s.HTML); err != nil {
		return err
	}
	var jobs []*simJob
	for _, name := range s.policies("clockwork") {
		j := &simJob{label: name, config: set.config, workload: set.workload}
		j.config.Policy = name
		jobs = append(jobs, j)
	}
	if err := s.runRecorded(con, jobs); err != nil {
		return err
	}
	d := newSimDocument(set, jobs)
	if s.HTML != "" {
		if err := writePage(s.HTML, d.page(jobs)); err != nil {
			return err
		}
	}
	if con.JSON {
		return cli.PrintJSON(con.Out, d)
	}
	return d.print(con.Out, con.Display.Width())
}

// runRecorded runs the jobs, and records the only job if the flag is set.
func (s *Sim) runRecorded(con *cli.Console, jobs []*simJob) error {
	if s.Record == "" {
		return runAll(con, jobs)
	}
	j := jobs[0]
	rec, err := createRecording(s.Record, j.config.Core)
	if err != nil {
		return err
	}
	j.config.Observers = append(j.config.Observers, rec)
	return errors.Join(runAll(con, jobs), rec.close())
}
