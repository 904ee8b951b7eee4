package top

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"clockwork/pkg/protocol"
	"clockwork/pkg/watch/terminal"
)

// Draw draws the state as view v shows it: at most v.Height lines of at most v.Width
// columns, without trailing blanks.
func (s *State) Draw(v *View, now time.Time) string {
	d := &drawing{state: s, view: v, now: now, sum: s.Summary(now)}
	d.head()
	switch v.Page {
	case Help:
		d.help()
	case Models:
		d.models(d.left())
	case GPUs:
		d.gpus(d.left())
	case Misses:
		d.misses(d.left())
	default:
		d.overview()
	}
	d.foot()
	return strings.Join(d.lines[:min(len(d.lines), v.Height)], "\n")
}

// Text returns the whole state as plain text of this width, for output that is not a
// terminal.
func (s *State) Text(width int, now time.Time) string {
	d := &drawing{state: s, view: &View{Width: width, Height: wholeHeight}, now: now, sum: s.Summary(now)}
	d.head()
	d.gpus(len(d.sum.GPUs) + 2)
	d.add(d.line())
	d.models(len(d.sum.Models) + 2)
	return strings.Join(d.lines, "\n") + "\n"
}

// drawing is a screen under construction.
type drawing struct {
	state *State
	view  *View
	now   time.Time
	sum   *Summary
	lines []string
}

func (d *drawing) line() *line { return &line{room: d.view.Width, color: d.view.Color} }

func (d *drawing) add(l *line) { d.lines = append(d.lines, l.String()) }

// left returns how many lines are left above the foot.
func (d *drawing) left() int { return max(0, d.view.Height-1-len(d.lines)) }

func (d *drawing) head() {
	d.stack()
	switch {
	case d.state.news != "" && d.sum.Stage != protocol.Active.String() && d.state.broker == "":
		d.add(d.line().say(cyan, d.state.news))
	case d.state.broker != "":
		l := d.line()
		l.say(red, fmt.Sprintf("The broker is lost for %s: %s. What stands below is as last heard.", terminal.Duration(d.now.Sub(d.state.since).Round(time.Second)), d.state.broker))
		d.add(l)
	default:
		d.traffic()
	}
	d.prediction()
	d.add(d.line())
}

// stack draws which services are there.
func (d *drawing) stack() {
	sum, l := d.sum, d.line()
	l.say(bold, "clockwork")
	switch {
	case sum.FrontDoors == 0 && d.now.Sub(d.state.began) < silent && !d.view.whole():
		l.say(faint, "listening ...")
	case sum.FrontDoors == 0:
		l.say(red, "no front door is heard")
	case sum.Stage != protocol.Active.String():
		l.say(yellow, sum.Stage)
	default:
		l.say(green, sum.Stage)
	}
	if sum.FrontDoors > 0 {
		l.say(plain, many(sum.FrontDoors, "front door"))
	}
	switch {
	case sum.Active > 0:
		text := fmt.Sprintf("scheduler of epoch %d", sum.Epoch)
		if sum.Standby > 0 {
			text += fmt.Sprintf(" + %d standby", sum.Standby)
		}
		l.say(plain, text)
	case sum.Standby > 0:
		l.say(yellow, many(sum.Standby, "scheduler")+", none active")
	case sum.FrontDoors > 0:
		l.say(red, "no scheduler")
	}
	if sum.FrontDoors > 0 {
		l.say(plain, many(sum.Workers, "worker"))
	}
	if sum.Lacking > 0 {
		l.say(yellow, many(sum.Lacking, "model")+" missing on workers")
	}
	if d.view.Paused {
		l.say(yellow, "PAUSED")
	}
	d.add(l)
}

// traffic draws what clients see.
func (d *drawing) traffic() {
	sum, l := d.sum, d.line()
	l.say(bold, rate(sum.RatePerS)+" req/s")
	if most := slices.Max(append([]float64{1}, d.state.rates...)); !d.view.whole() {
		var of []int
		for _, r := range d.state.rates {
			of = append(of, int(r/most*100))
		}
		l.say(cyan, spark(of, max(8, min(60, d.view.Width-68)), 1))
	}
	l.say(tone(sum.InSLO), "in SLO "+percent(sum.InSLO))
	if sum.MissedPerS > 0 {
		l.say(plain, "missed "+rate(sum.MissedPerS)+"/s")
	}
	l.say(plain, "p50 "+milli(sum.P50MS))
	l.say(plain, "p99 "+milli(sum.P99MS))
	d.add(l)
}

func (d *drawing) prediction() {
	sum, l := d.sum, d.line()
	l.say(plain, fmt.Sprintf("queued %d", sum.Queued))
	l.say(plain, fmt.Sprintf("in flight %d", sum.InFlight))
	l.say(plain, fmt.Sprintf("error p99 +%s -%s", milli(sum.ExecOverMS), milli(sum.ExecUnderMS)))
	if sum.LoadOverMS+sum.LoadUnderMS > 0 {
		l.say(plain, fmt.Sprintf("loads +%s -%s", milli(sum.LoadOverMS), milli(sum.LoadUnderMS)))
	}
	d.add(l)
}

// overview draws the GPUs, and the models in the remaining lines.
func (d *drawing) overview() {
	left := d.left()
	gpus := min(len(d.sum.GPUs), max(2, left/3))
	top := d.view.top
	d.view.top = 0 // the models scroll
	d.gpus(gpus + 1)
	d.view.top = top
	d.add(d.line())
	d.models(d.left())
}

// gpus draws a title and one line per GPU, in at most `room` lines.
func (d *drawing) gpus(room int) {
	g := d.gpuColumns()
	l := d.line()
	l.put(faint, "GPU", g.name, false).put(plain, "", 1, false).put(faint, "execution", g.exec, false).put(faint, "busy", 5, true)
	l.put(plain, "", 2, false).put(faint, "transfers", g.load, false).put(faint, "busy", 5, true)
	l.put(plain, "", 2, false).put(faint, "pages", g.bar+10, false).put(faint, "batch", 6, true).put(faint, "ahead", g.ahead, true)
	d.add(l)
	from, to := d.view.window(len(d.sum.GPUs), room-1)
	for i := from; i < to; i++ {
		if more := len(d.sum.GPUs) - i; i == to-1 && more > 1 && d.view.Page == Overview {
			d.add(d.line().put(faint, fmt.Sprintf("and %d more GPUs: w", more), d.view.Width, false))
			break
		}
		d.gpu(&d.sum.GPUs[i], g)
	}
	if len(d.sum.GPUs) == 0 {
		d.add(d.line().put(faint, "no worker is heard", d.view.Width, false))
	}
}

// gpuColumns holds the column widths; spare columns go to the timelines.
type gpuColumns struct{ name, exec, load, bar, ahead int }

func (d *drawing) gpuColumns() gpuColumns {
	g := gpuColumns{name: 5, bar: 5}
	for i := range d.sum.GPUs {
		g.name = max(g.name, len(gpuName(&d.sum.GPUs[i])))
	}
	g.name = min(g.name, 8+d.view.Width/10)
	rest := d.view.Width - g.name - 1 - 5 - 2 - 5 - 2 - g.bar - 10 - 6
	if d.view.Width >= 100 {
		g.ahead, rest = 9, rest-9
	}
	rest = max(rest, 8)
	g.exec = min(60, rest*3/5)
	g.load = min(60, rest-g.exec)
	return g
}

// perColumn is how many slices a column of a timeline shows.
const perColumn = protocol.SlicesASecond / 2

func (d *drawing) gpu(of *GPU, g gpuColumns) {
	lines := d.state.timelines[gpuKey{of.Worker, of.GPU}]
	if lines == nil {
		lines = &timelines{}
	}
	l := d.line()
	if of.Stalled != "" {
		l.put(red, gpuName(of), g.name, false).put(plain, "", 1, false).put(red, "STALLED: "+of.Stalled, d.view.Width, false)
		d.add(l)
		return
	}
	l.put(plain, gpuName(of), g.name, false).put(plain, "", 1, false)
	l.put(green, spark(lines.exec, g.exec, perColumn), g.exec, false).put(plain, fmt.Sprintf("%.0f%%", of.Exec*100), 5, true).put(plain, "", 2, false)
	l.put(cyan, spark(lines.load, g.load, perColumn), g.load, false).put(plain, fmt.Sprintf("%.0f%%", of.Load*100), 5, true).put(plain, "", 2, false)
	l.put(plain, bar(of.PagesUsed, of.PagesTotal, g.bar), g.bar, false).put(plain, fmt.Sprintf("%d/%d", of.PagesUsed, of.PagesTotal), 10, true)
	batch := "-"
	if of.BatchMean > 0 {
		batch = fmt.Sprintf("%.1f", of.BatchMean)
	}
	l.put(plain, batch, 6, true).put(plain, milli(of.AheadMS), g.ahead, true)
	d.add(l)
}

func gpuName(g *GPU) string { return fmt.Sprintf("%s/%d", g.Worker, g.GPU) }

// models draws a title and one line per model, in at most `room` lines.
func (d *drawing) models(room int) {
	list := slices.Clone(d.sum.Models)
	order(list, d.view.Sort)
	name := max(12, min(40, d.view.Width-50))
	l := d.line()
	title := fmt.Sprintf("%d of %d models, by %s", len(list), max(d.sum.ModelCount, len(list)), sortNames[d.view.Sort])
	l.put(faint, title, name, false)
	for _, c := range modelColumns {
		l.put(faint, c.title, c.width, true)
	}
	d.add(l)
	from, to := d.view.window(len(list), room-1)
	for i := from; i < to; i++ {
		d.model(&list[i], name)
	}
	if len(list) == 0 {
		d.add(d.line().put(faint, "no requests in the last seconds", d.view.Width, false))
	}
}

var modelColumns = []struct {
	title string
	width int
}{{"req/s", 8}, {"in SLO", 9}, {"p50", 9}, {"p99", 9}, {"cold/s", 8}, {"copies", 7}}

func (d *drawing) model(m *Model, name int) {
	l := d.line()
	l.put(plain, m.Model, name, false)
	copies := "-"
	if m.Copies >= 0 {
		copies = fmt.Sprint(m.Copies)
	}
	cold := "-"
	if m.ColdPerS > 0 {
		cold = fmt.Sprintf("%.1f", m.ColdPerS)
	}
	p50, p99 := "-", "-"
	if m.P99MS > 0 {
		p50, p99 = milli(m.P50MS), milli(m.P99MS)
	}
	for i, text := range []string{rate(m.RatePerS), percent(m.InSLO), p50, p99, cold, copies} {
		s := plain
		if i == 1 {
			s = tone(m.InSLO)
		}
		l.put(s, text, modelColumns[i].width, true)
	}
	d.add(l)
}

func order(list []Model, by Sort) {
	slices.SortStableFunc(list, func(a, b Model) int {
		switch by {
		case BySLO:
			return cmp.Or(cmp.Compare(a.InSLO, b.InSLO), byRate(a, b))
		case ByCold:
			return cmp.Or(cmp.Compare(b.ColdPerS, a.ColdPerS), byRate(a, b))
		case ByName:
			return cmp.Compare(a.Model, b.Model)
		}
		return byRate(a, b)
	})
}

// misses draws the recent misses, latest first.
func (d *drawing) misses(room int) {
	var codes []string
	for code := range d.sum.Codes {
		codes = append(codes, string(code))
	}
	slices.SortFunc(codes, func(a, b string) int {
		return cmp.Or(cmp.Compare(d.sum.Codes[protocol.Code(b)], d.sum.Codes[protocol.Code(a)]), cmp.Compare(a, b))
	})
	l := d.line()
	for _, code := range codes {
		l.say(bold, fmt.Sprintf("%s/s %s", rate(d.sum.Codes[protocol.Code(code)]), code))
	}
	if len(codes) == 0 {
		l.say(green, "everything was answered in time")
	}
	d.add(l)
	d.add(d.line().put(faint, "recent misses, at most one shown in 0.1 s; clockwork explain says why", d.view.Width, false))
	of := d.state.misses
	from, to := d.view.window(len(of), room-2)
	for i := from; i < to; i++ {
		e := of[len(of)-1-i]
		l := d.line()
		l.say(plain, e.At.Local().Format("15:04:05.0"))
		l.put(plain, fmt.Sprint(e.Total), 4, true).put(plain, "", 2, false)
		l.put(plain, e.Model, 22, false).put(plain, "", 2, false)
		l.say(red, string(e.Code)).say(faint, e.Message)
		d.add(l)
	}
}

var keys = [][2]string{
	{"o, esc", "overview: GPUs and models"},
	{"m", "models; again: by rate, in SLO, cold starts, name"},
	{"w", "GPUs: how busy their lanes were, 0.5 s a column"},
	{"r", "recent misses and their codes"},
	{"s", "sort the models otherwise"},
	{"arrows, pgup, pgdown", "scroll; home and end"},
	{"p", "pause, and go on"},
	{"q", "quit"},
	{"", ""},
	{"req/s, in SLO, p50", "of the last 5 to 10 s, without wrong requests"},
	{"error p99", "of predictions: work took longer (+), or less (-)"},
	{"batch", "mean size of batches, padding counted"},
	{"copies", "GPUs with the model's weights"},
}

func (d *drawing) help() {
	for _, k := range keys {
		d.add(d.line().put(bold, k[0], 22, false).put(plain, k[1], d.view.Width, false))
	}
}

func (d *drawing) foot() {
	if d.view.whole() {
		return
	}
	for d.left() > 0 {
		d.add(d.line())
	}
	if len(d.lines) >= d.view.Height {
		d.lines = d.lines[:max(0, d.view.Height-1)]
	}
	l := d.line()
	for _, k := range []string{"q quit", "o overview", "m models", "w GPUs", "r misses", "s sort", "p pause", "? help"} {
		l.say(faint, k)
	}
	d.add(l)
}

func many(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}

func rate(perS float64) string {
	if perS < 9.95 {
		return fmt.Sprintf("%.1f", perS)
	}
	return fmt.Sprintf("%.0f", perS)
}

// percent formats a share, and does not round up to 100 %.
func percent(share float64) string {
	if share < 1 && share > 0.9994 {
		return "99.9 %"
	}
	return fmt.Sprintf("%.1f %%", share*100)
}

func milli(ms float64) string { return terminal.Duration(time.Duration(ms * 1e6)) }

// tone returns the colour for a share in SLO.
func tone(inSLO float64) style {
	switch {
	case inSLO >= 0.99:
		return green
	case inSLO >= 0.9:
		return yellow
	}
	return red
}
