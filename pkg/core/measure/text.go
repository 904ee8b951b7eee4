package measure

import (
	"fmt"
	"strings"
)

// String shows the job, the waiting units, and the state of each GPU.
func (m *Machine) String() string {
	if m.job == nil {
		return "no job\n"
	}
	var b strings.Builder
	j := m.job
	fmt.Fprintf(&b, "job %d: %d of %d measured, %d profiles, %d verdicts\n", j.id, j.done, j.total, len(j.report.Profiles), len(j.report.Failures))
	for _, u := range j.waiting {
		fmt.Fprintf(&b, "waiting %s@%s tries %d\n", u.model.Name, u.gpuType, m.tries[u.key()])
	}
	for _, g := range j.gpus {
		fmt.Fprintf(&b, "%s.%d %s: %s", g.key.worker, g.key.id, g.kind, g.state)
		if g.waits != 0 {
			fmt.Fprintf(&b, ", %s of %s as #%d", g.doing(), g.unit.model.Name, g.waits)
		}
		if g.jams > 0 {
			fmt.Fprintf(&b, ", not cleared %d times", g.jams)
		}
		b.WriteString("\n")
	}
	return b.String()
}

// doing names the outstanding action or store.
func (g *gpu) doing() string {
	if g.storing {
		return "store"
	}
	return g.steps[0].kind.String()
}

func (s state) String() string {
	return [...]string{"idle", "working", "leaving the last job", "paused", "hung", "lost"}[s]
}

func (k SetbackKind) String() string {
	return [...]string{"?", "failed", "not cleared", "no result", "not measured", "hung"}[k]
}
