package startup

import (
	"cmp"
	"fmt"
	"strconv"
	"strings"
	"testing"

	play "clockwork/pkg/testkit/script"
)

// TestStoreWatch plays testdata/store/*.txt. A line is a look: how its errands end, in any
// order. What is not named ends well, with a store that has everything. Below stand the errands
// of the look, and what is told.
//
//	ERRAND:fault | ERRAND:fenced     it could not be done
//	lost                             the state is missing; written, it is there
//	stageless                        the machine has stored nothing, so that a loss is not written
//	broken:UPTO[:stage][:MODEL...]   values that nobody can read; repaired, they can be
//	made:INSTANT | made:             when the buffer's stream was made, or that there is none
func TestStoreWatch(t *testing.T) {
	play.Play(t, "testdata/store/*.txt", func(t *testing.T) func(string) string {
		s := storeScript{w: NewStoreWatch(7)}
		return func(line string) string { return s.look(t, strings.Fields(line)) }
	})
}

var errandNames = []string{"", "open", "check", "state", "values", "mend", "repair", "buffer", "make", "renew"}

type storeScript struct{ w *StoreWatch }

func (s *storeScript) look(t *testing.T, answers []string) string {
	var b strings.Builder
	ends, stageless, made := map[string]string{}, false, "5"
	lost, broken := false, StoreAnswer{Upto: 9}
	for _, a := range answers {
		key, value, _ := strings.Cut(a, ":")
		switch key {
		case "look":
		case "lost":
			lost = true
		case "stageless":
			stageless = true
		case "made":
			made = cmp.Or(value, "0")
		case "broken":
			parts := strings.Split(value, ":")
			broken = StoreAnswer{Broken: true, Upto: number(parts[0])}
			for _, p := range parts[1:] {
				if p == "stage" {
					broken.Loss.Stage = true
				} else {
					broken.Loss.Models = append(broken.Loss.Models, p)
				}
			}
		default:
			ends[key] = value
		}
	}
	order := s.w.Step(StoreAnswer{})
	for n := 0; order.Errand != NoErrand; n++ {
		if n > 20 {
			t.Fatal("a look without an end")
		}
		name := errandNames[order.Errand]
		fmt.Fprint(&b, name)
		var a StoreAnswer
		switch order.Errand {
		case LookAtState:
			a.Missing = lost
		case ReadValues:
			fmt.Fprintf(&b, " after %d", order.Readable)
			a = broken
		case MendState:
			fmt.Fprintf(&b, " %v lost=%v", order.Loss, order.Lost)
			if order.Tell {
				fmt.Fprint(&b, " tell")
			}
			a.Rewrites = order.Loss.Stage && !stageless
		case LookAtBuffer:
			at, err := strconv.ParseInt(made, 10, 64)
			if err != nil {
				t.Fatal(err)
			}
			a.Made = at
		case MakeBuffer:
			made = cmp.Or(ends["remade"], "6")
		}
		switch ends[name] {
		case "":
		case "fenced":
			a = StoreAnswer{Fenced: true, Fault: "another leads"}
		default:
			a = StoreAnswer{Fault: name + " " + ends[name], Rewrites: a.Rewrites}
		}
		fmt.Fprintln(&b)
		order = s.w.Step(a)
	}
	if order.Turned {
		fmt.Fprintf(&b, "told: %s\n", cmp.Or(order.Fault, "in order again"))
	}
	return b.String()
}
