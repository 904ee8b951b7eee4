package terminal

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// on makes a Display of a terminal so many columns wide. shown returns what
// was written since it was asked last.
func on(columns *int) (d *Display, shown func() string) {
	var out strings.Builder
	d = New(&out, true, func() int { return *columns })
	return d, func() string {
		defer out.Reset()
		return out.String()
	}
}

func expect(t *testing.T, got, want string) {
	t.Helper()
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

const again = "\x1b[%dA\r\x1b[J"

func up(n int) string { return fmt.Sprintf(again, n) }

func TestBarsAreRedrawnInPlaceUnderTheLines(t *testing.T) {
	width := 50
	d, shown := on(&width)
	d.Bar("load", 0, 4, "")
	expect(t, shown(), "load  ░░░░░░░░░░  0/4\n")
	d.Bar("load", 2, 4, "zoo/a")
	expect(t, shown(), up(1)+"load  █████░░░░░  2/4  zoo/a\n")
	d.Bar("profile", 1, 10, "")
	expect(t, shown(), up(1)+"load     █████░░░░░   2/4  zoo/a\nprofile  █░░░░░░░░░  1/10\n")
	d.Line("worker w1 joined\ntwice")
	expect(t, shown(), up(2)+"worker w1 joined\ntwice\nload     █████░░░░░   2/4  zoo/a\nprofile  █░░░░░░░░░  1/10\n")
	d.Bar("load", 4, 4, "done")
	expect(t, shown(), up(2)+"load     ██████████   4/4  done\nprofile  █░░░░░░░░░  1/10\n")
	d.Remove("profile")
	expect(t, shown(), up(1))
	d.Line("end")
	expect(t, shown(), "end\n")
}

func TestWhatStandsAlreadyIsNotDrawnAgain(t *testing.T) {
	width := 50
	d, shown := on(&width)
	d.Bar("a", 1, 2, "")
	d.Bar("b", 2, 2, "")
	shown()
	d.Bar("a", 1, 2, "")
	d.Bar("b", 2, 2, "")
	d.Remove("nothing")
	expect(t, shown(), "")
}

func TestRowsNeverWrap(t *testing.T) {
	for _, columns := range []int{1, 2, 10, 39, 40, 41, 70, 71, 200} {
		d, shown := on(&columns)
		d.Bar(strings.Repeat("label", 20), 7, 1000, strings.Repeat("note诚", 50))
		if got := columnsOf(strings.TrimSuffix(shown(), "\n")); got > max(1, columns-1) {
			t.Errorf("a row of %d columns on a terminal of %d", got, columns)
		}
	}
}

func TestARowThatWrappedSinceIsTakenBackWhole(t *testing.T) {
	width := 50
	d, shown := on(&width)
	d.Bar("load", 2, 4, "zoo/a") // 28 columns
	shown()
	width = 20
	d.Bar("load", 3, 4, "zoo/a")
	expect(t, shown(), up(2)+"load  3/4  zoo/a\n")
}

func TestTheBlockIsBounded(t *testing.T) {
	width := 50
	d, shown := on(&width)
	for i := range maxRows + 3 {
		d.Bar(fmt.Sprint("w", i), 1, 2, "")
	}
	lines := strings.Split(strings.TrimSuffix(shown(), "\n"), "\n")
	expect(t, lines[len(lines)-1], "and 3 more")
	d.Line("x")
	if got := shown(); !strings.HasPrefix(got, up(maxRows+1)) {
		t.Errorf("%q does not take back %d rows", got, maxRows+1)
	}
}

func TestPeersCannotMoveTheCursor(t *testing.T) {
	width := 50
	d, shown := on(&width)
	d.Bar("a\x1b[9A\n", 1, 2, "\rb\u202e")
	expect(t, shown(), "a?[9A?  █████░░░░░  1/2  ?b?\n")
	d.Line("x\x07\ty\u009b2J")
	expect(t, shown(), up(1)+"x? y?2J\na?[9A?  █████░░░░░  1/2  ?b?\n")
}

func TestCountsAreHeldInBounds(t *testing.T) {
	width := 50
	d, shown := on(&width)
	d.Bar("a", -3, 2, "")
	expect(t, shown(), "a  ░░░░░░░░░░  0/2\n")
	d.Bar("a", 7, 2, "")
	expect(t, shown(), up(1)+"a  ██████████  2/2\n")
	d.Bar("b", 7, -1, "busy")
	expect(t, shown(), "b              7  busy\n")
}

func TestElsewhereABarIsALineForEachTenth(t *testing.T) {
	var out strings.Builder
	d := New(&out, false, nil)
	for i := range 41 {
		d.Bar("load", i, 40, "")
	}
	d.Bar("load", 40, 40, "")
	d.Line("then")
	d.Bar("countdown", 5, 10, "5 s left")
	d.Bar("countdown", 0, 10, "10 s left") // began anew
	d.Bar("wait", 0, 0, "one")
	d.Bar("wait", 0, 0, "one")
	d.Bar("wait", 0, 0, "two")
	d.Remove("wait")
	expect(t, out.String(), `load 0/40
load 4/40
load 8/40
load 12/40
load 16/40
load 20/40
load 24/40
load 28/40
load 32/40
load 36/40
load 40/40
then
countdown 5/10 5 s left
countdown 0/10 10 s left
wait 0 one
wait 0 two
`)
}

func TestDoneLeavesTheBarsAndBeginsAnew(t *testing.T) {
	width := 50
	d, shown := on(&width)
	d.Bar("a", 1, 2, "")
	shown()
	if err := d.Done(); err != nil {
		t.Fatal(err)
	}
	d.Line("after")
	expect(t, shown(), "after\n")
}

type broken struct{}

func (broken) Write([]byte) (int, error) { return 0, errBroken }

var errBroken = errors.New("broken pipe")

func TestDoneTellsTheFirstErrorOfWriting(t *testing.T) {
	d := New(broken{}, false, nil)
	d.Line("x")
	if err := d.Done(); !errors.Is(err, errBroken) {
		t.Errorf("got %v", err)
	}
}
