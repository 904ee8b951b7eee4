package plot

import (
	"fmt"
	"math"
	"regexp"
	"strings"
	"testing"
)

// themes are the variables of the style sheet in light and in dark.
func themes(t *testing.T) (light, dark map[string]string) {
	t.Helper()
	before, after, found := strings.Cut(string(Style), "@media (prefers-color-scheme:dark)")
	if !found {
		t.Fatal("the style has no dark side")
	}
	after, _, _ = strings.Cut(after, "}}")
	return variables(before), variables(after)
}

func variables(css string) map[string]string {
	all := map[string]string{}
	for _, m := range regexp.MustCompile(`--(\w+):(#[0-9a-f]+)`).FindAllStringSubmatch(css, -1) {
		all[m[1]] = m[2]
	}
	return all
}

// rgb reads #rgb and #rrggbb, each part from 0 to 1.
func rgb(t *testing.T, colour string) (parts [3]float64) {
	t.Helper()
	if len(colour) == 4 {
		colour = fmt.Sprintf("#%c%c%c%c%c%c", colour[1], colour[1], colour[2], colour[2], colour[3], colour[3])
	}
	var r, g, b int
	if _, err := fmt.Sscanf(colour, "#%02x%02x%02x", &r, &g, &b); err != nil {
		t.Fatalf("%s: %v", colour, err)
	}
	return [3]float64{float64(r) / 255, float64(g) / 255, float64(b) / 255}
}

// contrast is WCAG's: 1 for the same, 21 for black on white.
func contrast(t *testing.T, a, b string) float64 {
	luminance := func(colour string) float64 {
		sum := 0.0
		for i, c := range rgb(t, colour) {
			if c > 0.03928 {
				c = math.Pow((c+0.055)/1.055, 2.4)
			} else {
				c /= 12.92
			}
			sum += c * [3]float64{0.2126, 0.7152, 0.0722}[i]
		}
		return sum
	}
	x, y := luminance(a)+0.05, luminance(b)+0.05
	return max(x, y) / min(x, y)
}

func TestEveryColourIsThereInLightAndInDark(t *testing.T) {
	light, dark := themes(t)
	for name := range light {
		if dark[name] == "" {
			t.Errorf("--%s has no dark side", name)
		}
	}
	for i := Grey; i < Colours; i++ {
		name := strings.TrimPrefix(Variable(i), "--")
		if light[name] == "" || !strings.Contains(string(Style), "."+name+"{stroke:var(--"+name+")}") {
			t.Errorf("colour %d is not in the style", i)
		}
	}
}

func TestColoursCanBeToldApartAndRead(t *testing.T) {
	light, dark := themes(t)
	for theme, colours := range map[string]map[string]string{"light": light, "dark": dark} {
		for i := range Colours {
			a := colours[class(i)]
			if c := contrast(t, a, colours["card"]); c < 2.5 {
				t.Errorf("%s: line %d on its card has a contrast of %.2f", theme, i, c)
			}
			if c := contrast(t, a, colours["inside"]); c < 2.5 {
				t.Errorf("%s: text in a bar of colour %d has a contrast of %.2f", theme, i, c)
			}
			for k := range i {
				p, q := rgb(t, a), rgb(t, colours[class(k)])
				if d := math.Hypot(math.Hypot(p[0]-q[0], p[1]-q[1]), p[2]-q[2]); d < 0.15 {
					t.Errorf("%s: colours %d and %d are %.2f apart", theme, k, i, d)
				}
			}
		}
		for _, text := range []string{"ink", "soft"} {
			for _, ground := range []string{"ground", "card"} {
				if c := contrast(t, colours[text], colours[ground]); c < 4.5 {
					t.Errorf("%s: %s on %s has a contrast of %.2f", theme, text, ground, c)
				}
			}
		}
	}
}

func TestTheStyleNeedsNothingFromElsewhere(t *testing.T) {
	for _, word := range []string{"url(", "@import", "http", "<"} {
		if strings.Contains(string(Style), word) {
			t.Errorf("the style has %s", word)
		}
	}
}
