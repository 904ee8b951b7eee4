package top

import (
	"fmt"
	"regexp"
	"strings"
	"testing"
	"time"

	"clockwork/pkg/protocol"
	"clockwork/pkg/testkit/script"
	"clockwork/pkg/watch/terminal"
)

var noon = time.Date(2026, 11, 26, 12, 0, 0, 0, time.UTC)

const second = time.Second

func door(served, missed int, models ...protocol.ModelStats) protocol.LiveStats {
	f := &protocol.FrontDoorStats{Stage: "ACTIVE", Epoch: 7, InFlight: 3, Models: 4000, Answers: protocol.Answers{Served: served, Missed: missed}, Busiest: models}
	for i := range served {
		f.Latency.Add(time.Duration(5+i%20) * time.Millisecond)
	}
	if missed > 0 {
		f.Codes = map[protocol.Code]int{protocol.DeadlineUnmeetable: missed}
	}
	return protocol.LiveStats{SpanMS: 5000, FrontDoor: f}
}

func model(name string, served, missed, cold int) protocol.ModelStats {
	return protocol.ModelStats{Model: name, Answers: protocol.Answers{Served: served, Missed: missed}, Cold: cold, P50US: 5200, P99US: 21400}
}

func scheduler(active bool) protocol.LiveStats {
	f := &protocol.SchedulerStats{Active: active}
	if active {
		f.Epoch, f.Queued, f.Copies = 7, 12, map[string]int{"resnet50_v2-1": 3, "densenet121": 1}
		f.ExecOver.Add(810 * time.Microsecond)
		f.ExecUnder.Add(120 * time.Microsecond)
		f.LoadOver.Add(40 * time.Microsecond)
		f.Lanes = []protocol.LaneStats{{Worker: "w1", GPU: 0, ExecMS: 8.25}}
	}
	return protocol.LiveStats{SpanMS: 5000, Scheduler: f}
}

func worker(gpus, beat int) protocol.LiveStats {
	f := &protocol.WorkerStats{}
	for g := range gpus {
		of := protocol.GPUStats{GPU: g, Type: "v100", PagesTotal: 1376, PagesUsed: 300 + 100*(g%9), Models: 20, Batches: 100, Items: 340}
		for i := range protocol.SlicesASecond {
			of.Exec = append(of.Exec, (beat*17+i*7+g*31)%101)
			of.Load = append(of.Load, max(0, (beat*13+i*3+g*11)%101-60))
		}
		f.GPUs = append(f.GPUs, of)
	}
	return protocol.LiveStats{SpanMS: 5000, Worker: f}
}

// running is a stack that was watched for some seconds.
func running(gpus int, models ...protocol.ModelStats) (*State, time.Time) {
	s, now := &State{}, noon
	for beat := range 12 {
		now = noon.Add(time.Duration(beat) * second)
		s.OnLiveStats(protocol.FrontDoor, "a", door(2000+100*beat, 20, models...), now)
		s.OnLiveStats(protocol.FrontDoor, "b", door(1000, 0, models...), now)
		s.OnLiveStats(protocol.Scheduler, "x", scheduler(true), now)
		s.OnLiveStats(protocol.Scheduler, "y", scheduler(false), now)
		s.OnLiveStats(protocol.Worker, "w1", worker(gpus, beat), now)
		s.Tick(now)
	}
	s.Event(protocol.Event{Kind: protocol.EventMiss, At: noon, Total: 3, Model: "densenet121", Code: protocol.DeadlineUnmeetable, Message: "done 3.894 ms after arrival at the earliest, the deadline is at 1.000 ms"}, now)
	return s, now
}

var some = []protocol.ModelStats{model("resnet50_v2-1", 1500, 0, 0), model("densenet121", 700, 20, 4), model("googlenet", 300, 0, 1)}

// TestScreens draws the screens of testdata/screens.txt: "draw <name>_<size>".
func TestScreens(t *testing.T) {
	local := time.Local
	time.Local = time.UTC
	defer func() { time.Local = local }()
	s, now := running(2, some...)
	screens := map[string]func() string{
		"overview_80x24":  func() string { return s.Draw(&View{Width: 80, Height: 24}, now) },
		"overview_120x40": func() string { return s.Draw(&View{Width: 120, Height: 40}, now) },
		"models_80x24":    func() string { return s.Draw(&View{Width: 80, Height: 24, Page: Models, Sort: BySLO}, now) },
		"misses_80x24":    func() string { return s.Draw(&View{Width: 80, Height: 24, Page: Misses}, now) },
		"help_80x24":      func() string { return s.Draw(&View{Width: 80, Height: 24, Page: Help}, now) },
		"text_80":         func() string { return s.Text(80, now) },
		"stalled_80x24": func() string {
			s, now := running(2, some...)
			w := worker(2, 12)
			w.Worker.GPUs[1].Stalled = "executes densenet121 for 4.2s, expected 3.1ms"
			s.OnLiveStats(protocol.Worker, "w1", w, now)
			return s.Draw(&View{Width: 80, Height: 24}, now)
		},
		"nobody_80x24": func() string {
			var s State
			s.Tick(noon)
			return s.Draw(&View{Width: 80, Height: 24}, noon.Add(10*second))
		},
		"startup_80x24": func() string {
			var s State
			f := door(0, 0)
			f.FrontDoor.Stage, f.FrontDoor.Models = "LOADING", 2
			s.OnLiveStats(protocol.FrontDoor, "a", f, noon)
			s.OnLiveStats(protocol.Scheduler, "y", scheduler(false), noon)
			s.Event(protocol.Event{Kind: protocol.EventCountdown, At: noon, LeftMS: 9000}, noon)
			return s.Draw(&View{Width: 80, Height: 24}, noon)
		},
		"broker_lost_80x24": func() string {
			s, now := running(1, some...)
			s.Broker("EOF", now)
			s.Tick(now.Add(7 * second))
			return s.Draw(&View{Width: 80, Height: 24}, now.Add(7*second))
		},
	}
	script.Play(t, "testdata/screens.txt", func(t *testing.T) func(string) string {
		return func(line string) string {
			draw := screens[strings.TrimPrefix(line, "draw ")]
			if draw == nil {
				t.Fatalf("%q is no screen", line)
			}
			delete(screens, strings.TrimPrefix(line, "draw "))
			return draw() + "\n"
		}
	})
	if len(screens) > 0 {
		t.Errorf("%d screens are not in the script", len(screens))
	}
}

var sgr = regexp.MustCompile("\x1b\\[[0-9]+m")

// However large the stack and small the terminal, no line is too long, no screen too
// high, and without styles it is the same text.
func TestScreensFit(t *testing.T) {
	var models []protocol.ModelStats
	for i := range protocol.MaxModelStats {
		models = append(models, model(fmt.Sprintf("a_model_with_a_name_as_long_as_names_may_be_%020d", i), 10+i, i, i))
	}
	s, now := running(64, models...)
	s.Event(protocol.Event{Kind: protocol.EventMiss, Model: "evil\x1b[2J\u202e", Message: strings.Repeat("诚", 300)}, now)
	for page := Overview; page <= Help; page++ {
		for _, size := range [][2]int{{80, 24}, {120, 40}, {200, 60}, {40, 10}, {20, 5}, {1, 1}} {
			v := View{Width: size[0], Height: size[1], Page: page}
			v.Key("down")
			text := v
			got := s.Draw(&text, now)
			lines := strings.Split(got, "\n")
			if len(lines) > size[1] {
				t.Errorf("page %d on %v: %d lines", page, size, len(lines))
			}
			for _, l := range lines {
				if n := terminal.Columns(l); n > size[0] {
					t.Errorf("page %d on %v: %d columns: %s", page, size, n, l)
				}
			}
			if strings.ContainsAny(got, "\x1b\u202e") {
				t.Errorf("page %d on %v: a peer writes to the terminal", page, size)
			}
			v.Color = true
			if painted := sgr.ReplaceAllString(s.Draw(&v, now), ""); painted != got {
				t.Errorf("page %d on %v: painted it is another text:\n%s\n%s", page, size, painted, got)
			}
		}
	}
}

func TestEveryLineThatScrollsIsReached(t *testing.T) {
	s, now := running(64, some...)
	v := View{Width: 80, Height: 24}
	v.Key("w")
	seen := map[string]bool{}
	for range 80 {
		for _, l := range strings.Split(s.Draw(&v, now), "\n") {
			name, _, _ := strings.Cut(l, " ")
			seen[name] = true
		}
		v.Key("down")
	}
	for g := range 64 {
		if !seen[fmt.Sprintf("w1/%d", g)] {
			t.Errorf("w1/%d is never seen", g)
		}
	}
	v.Key("end")
	if s.Draw(&v, now); v.top != 64-(24-4-2) {
		t.Errorf("at the end the first line is %d", v.top)
	}
}

func TestKeys(t *testing.T) {
	v := View{Height: 24}
	for _, c := range []struct {
		key  string
		page Page
		sort Sort
	}{
		{"m", Models, ByRate}, {"m", Models, BySLO}, {"s", Models, ByCold}, {"?", Help, ByCold}, {"x", Models, ByCold},
		{"w", GPUs, ByCold}, {"r", Misses, ByCold}, {"esc", Overview, ByCold}, {"s", Overview, ByName}, {"s", Overview, ByRate},
	} {
		if v.Key(c.key) || v.Page != c.page || v.Sort != c.sort {
			t.Errorf("after %q: page %d by %d, want %d by %d", c.key, v.Page, v.Sort, c.page, c.sort)
		}
	}
	if v.Key("p"); !v.Paused {
		t.Error("p does not pause")
	}
	v.Key("?")
	if !v.Key("q") {
		t.Error("q does not quit")
	}
}

func TestWhoIsSilentIsGoneUnlessTheBrokerIs(t *testing.T) {
	s, now := running(1, some...)
	s.Broker("EOF", now)
	s.Tick(now.Add(time.Minute))
	if sum := s.Summary(now.Add(time.Minute)); sum.FrontDoors != 2 || sum.Workers != 1 {
		t.Errorf("while the broker is lost: %+v", sum)
	}
	s.Broker("", now.Add(time.Minute))
	s.Tick(now.Add(time.Minute + 8*second))
	if sum := s.Summary(now); sum.FrontDoors != 0 || sum.Workers != 0 || len(s.timelines) != 0 {
		t.Errorf("8 s later: %+v", sum)
	}
}

func TestFrontDoorsAreSummedUp(t *testing.T) {
	s, now := running(1, some...)
	sum := s.Summary(now)
	if sum.RatePerS != (3100+1000+20)/5.0 || sum.MissedPerS != 4 || sum.FrontDoors != 2 || sum.Active != 1 || sum.Standby != 1 || sum.Epoch != 7 {
		t.Errorf("%+v", sum)
	}
	m := sum.Models[0]
	if m.Model != "resnet50_v2-1" || m.RatePerS != 600 || m.InSLO != 1 || m.Copies != 3 || sum.Models[2].Copies != -1 {
		t.Errorf("%+v", sum.Models)
	}
	if d := sum.Models[1]; d.InSLO != 1400.0/1440 || d.ColdPerS != 1.6 {
		t.Errorf("%+v", d)
	}
	if sum.GPUs[0].BatchMean != 3.4 || sum.GPUs[0].AheadMS != 8.25 {
		t.Errorf("%+v", sum.GPUs[0])
	}
}

func BenchmarkDraw(b *testing.B) {
	var models []protocol.ModelStats
	for i := range protocol.MaxModelStats {
		models = append(models, model(fmt.Sprintf("m%04d", i), 10+i, i, i))
	}
	s, now := running(64, models...)
	v := View{Width: 120, Height: 40, Color: true}
	for b.Loop() {
		s.Draw(&v, now)
	}
}
