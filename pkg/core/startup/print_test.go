package startup

import (
	"fmt"
	"strings"
	"time"

	"clockwork/pkg/protocol"
)

// print writes an output as scripts show it, a line for each thing.
func print(o Output) string {
	var b strings.Builder
	line := func(format string, args ...any) {
		b.WriteString(strings.TrimRight(fmt.Sprintf(format, args...), " ") + "\n")
	}
	for _, a := range o.Actions {
		detail := strings.Join(a.Action.Models, " ")
		if l := a.Action.Load; l != nil {
			detail = l.Path + " as " + strings.Join(l.Names, " ")
			if l.Digest != "" {
				detail += fmt.Sprintf(", only %s %d up to %d", l.Digest, l.Version, l.MaxBatch)
			}
			if l.Compare {
				detail = l.Path + " to compare"
			}
			if l.Within != 60*time.Second {
				detail += fmt.Sprintf(", within %v", l.Within)
			}
		}
		line("%s %s #%d %s", a.Worker, a.Action.Kind, a.Action.ID, detail)
	}
	for _, r := range o.Replies {
		if r.Reply != nil {
			held := ""
			if r.Reply.Held {
				held = " held"
			}
			line("reply %d OK %s%s", r.Token, strings.Join(r.Reply.Models, " "), held)
			for _, w := range r.Reply.Changed {
				line("  %s: %s %s", w.Worker, w.Code, w.Message)
			}
			continue
		}
		line("reply %d %s", r.Token, r.Error)
		if r.Error.Limit != 0 {
			line("  got %d, limit %d", r.Error.Got, r.Error.Limit)
		}
		for _, w := range r.Error.Workers {
			line("  %s: %s %s", w.Worker, w.Code, w.Message)
		}
	}
	for _, s := range o.Store {
		line("store %d %s", s.Token, names(s.Models))
	}
	for _, u := range o.Unstore {
		line("unstore %d [%s]", u.Token, strings.Join(u.Names, " "))
	}
	for _, q := range o.Quarantined {
		line("quarantined %s: %s", q.Model, q.Reason)
	}
	if o.SetStage != nil {
		line("set stage %s", *o.SetStage)
	}
	if p := o.StartProfiling; p != nil {
		line("profile job %d: %s on %s, known %s", p.Job, names(p.Models), workers(p.Workers), keys(p.Known))
	}
	if a := o.Activate; a != nil {
		line("activate: %s on %s, profiles %s", names(a.Models), workers(a.Workers), keys(a.Profiles))
	}
	for _, w := range o.JoinWorkers {
		brings := ""
		if len(w.Profiles) > 0 {
			brings = ", profiles " + keys(w.Profiles)
		}
		line("join %s%s", workers([]protocol.WorkerState{w}), brings)
	}
	for _, w := range o.JoinAgain {
		line("join again %s, %d profiles", workers([]protocol.WorkerState{w}), len(w.Profiles))
	}
	for _, w := range o.DropWorkers {
		line("drop %s", w)
	}
	for _, e := range o.Events {
		line("event %s", strings.Join(strings.Fields(fmt.Sprint(e.Kind, " ", e.Stage, e.Worker, " ", e.Model, " ", e.Code, " ", e.Message)), " "))
	}
	if o.Confirm {
		line("confirm")
	}
	if o.StepDown {
		line("step down")
	}
	line("wake %s", o.Wake)
	return b.String()
}

// list writes models as people ask for them.
func list(models []protocol.ModelState) string {
	var b strings.Builder
	for _, m := range models {
		fmt.Fprintf(&b, "%s %s", m.Name, keys(m.Profile))
		if m.Quarantined != "" {
			fmt.Fprintf(&b, " quarantined: %s", m.Quarantined)
		}
		for _, w := range m.Lacking {
			fmt.Fprintf(&b, "; not on %s: %s %s", w.Worker, w.Code, w.Message)
		}
		b.WriteString("\n")
	}
	return b.String()
}

func names(models []protocol.ModelSpec) string {
	var list []string
	for _, m := range models {
		list = append(list, m.Name)
	}
	return "[" + strings.Join(list, " ") + "]"
}

func workers(states []protocol.WorkerState) string {
	var list []string
	for _, w := range states {
		text := w.ID
		if len(w.Lacks) > 0 {
			var lacks []string
			for _, l := range w.Lacks {
				lacks = append(lacks, l.Model)
			}
			text += " without [" + strings.Join(lacks, " ") + "]"
		}
		list = append(list, text)
	}
	return strings.Join(list, " ")
}

func keys(profiles []protocol.Profile) string {
	var list []string
	for _, p := range profiles {
		list = append(list, p.Digest+"@"+p.GPUType)
	}
	return "[" + strings.Join(list, " ") + "]"
}
