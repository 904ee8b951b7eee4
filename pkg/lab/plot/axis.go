package plot

import (
	"math"
	"strconv"
	"strings"
)

// axis maps values between low and high to coordinates between from and to.
type axis struct {
	log       bool
	whole     bool // values are counts: no tick between two
	from, to  float64
	low, high float64
}

func newAxis(log bool, from, to float64) axis {
	return axis{log: log, from: from, to: to, low: math.Inf(1), high: math.Inf(-1)}
}

func (a *axis) any() bool { return a.low <= a.high }

// shows reports whether the axis can show a value.
func (a *axis) shows(v float64) bool { return known(v) && (!a.log || v >= 1/largest) }

func (a *axis) include(v float64) {
	if a.shows(v) {
		a.low, a.high = min(a.low, v), max(a.high, v)
	}
}

// settle merges low and high if floating point hardly distinguishes them: ticks
// between them could not be counted.
func (a *axis) settle() {
	if a.high-a.low < max(1e-9*max(math.Abs(a.low), math.Abs(a.high)), 1/largest) {
		a.high = a.low
	}
}

// round widens the axis to whole ticks. A maximum that exceeds a tick by less
// than can be seen does not need another tick.
func (a *axis) round() {
	if a.log {
		a.low, a.high = math.Pow(10, math.Floor(math.Log10(a.low))), math.Pow(10, math.Ceil(math.Log10(a.high)))
		if a.low == a.high {
			a.high *= 10
		}
		return
	}
	if a.low == a.high {
		a.high = a.low + max(1, math.Abs(a.low)/10)
	}
	step := a.step(5)
	a.low, a.high = math.Floor(a.low/step)*step, math.Ceil(a.high/step-0.01)*step
}

// at returns the coordinate of a value.
func (a *axis) at(v float64) float64 {
	low, high := a.low, a.high
	if a.log {
		low, high, v = math.Log10(low), math.Log10(high), math.Log10(v)
	}
	if high <= low {
		return (a.from + a.to) / 2
	}
	return a.from + (v-low)/(high-low)*(a.to-a.from)
}

// step returns a distance between about n ticks: 1, 2, 2.5 or 5 times a power of
// ten.
func (a *axis) step(n int) float64 {
	raw := (a.high - a.low) / float64(n)
	if a.whole {
		raw = max(raw, 1)
	}
	power := math.Pow(10, math.Floor(math.Log10(raw)))
	for _, m := range []float64{1, 2, 2.5, 5} {
		if raw <= m*power*1.0001 && !(a.whole && m*power == 2.5) {
			return m * power
		}
	}
	return 10 * power
}

// ticks returns about n round values.
func (a *axis) ticks(n int) []float64 {
	var all []float64
	if !a.log {
		if a.high <= a.low {
			return []float64{a.low}
		}
		step := a.step(n)
		for k := math.Ceil(a.low/step - 1e-9); k*step <= a.high+step*1e-9; k++ {
			all = append(all, k*step)
		}
		return all
	}
	decades := math.Log10(a.high / a.low)
	for p := math.Floor(math.Log10(a.low) + 1e-9); p <= math.Log10(a.high)+1e-9; p++ {
		for _, m := range []float64{1, 2, 5} {
			v := m * math.Pow(10, p)
			if (m == 1 || decades < 2.5) && v >= a.low*0.999 && v <= a.high*1.001 {
				all = append(all, v)
			}
		}
	}
	return all
}

// number formats a value for an axis: 1500 is 1.5k.
func number(v float64) string {
	unit := ""
	switch m := math.Abs(v); {
	case m >= 1e13 || m < 1e-6 && m > 0:
		return strconv.FormatFloat(v, 'g', 3, 64)
	case m >= 9999e3:
		v, unit = v/1e6, "M"
	case m >= 9999:
		v, unit = v/1e3, "k"
	}
	text := strconv.FormatFloat(v, 'f', decimals(v), 64)
	if strings.Contains(text, ".") {
		text = strings.TrimRight(strings.TrimRight(text, "0"), ".")
	}
	if text == "-0" {
		text = "0"
	}
	return text + unit
}

func decimals(v float64) int {
	switch m := math.Abs(v); {
	case m == 0 || m >= 100:
		return 0
	case m >= 1:
		return 2
	case m >= 0.01:
		return 3
	}
	return 6
}
