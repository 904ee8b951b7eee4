package top

// Page is what is shown below the head.
type Page int

// The pages.
const (
	Overview Page = iota // GPUs and models
	Models
	GPUs
	Misses
	Help
)

// Sort is the order of models.
type Sort int

// The orders: most requests first, lowest share in SLO first, most cold starts first,
// and by name.
const (
	ByRate Sort = iota
	BySLO
	ByCold
	ByName
	sorts
)

var sortNames = [...]string{"rate", "in SLO", "cold starts", "name"}

// View is the part of a State that a user is looking at.
type View struct {
	Width, Height int
	// Color allows colours; otherwise the text is plain.
	Color  bool
	Page   Page
	Sort   Sort
	Paused bool
	top    int  // the first visible line of the scrolling part
	back   Page // the page to return to from Help
}

// wholeHeight is the height of a view that shows everything, without the key hints.
const wholeHeight = 1 << 20

func (v *View) whole() bool { return v.Height >= wholeHeight }

// Key handles a key by its name ("q", "up", "pgdown"), and reports whether to quit.
func (v *View) Key(key string) (quit bool) {
	if v.Page == Help && key != "q" && key != "ctrl+c" {
		v.show(v.back)
		return false
	}
	switch key {
	case "q", "ctrl+c":
		return true
	case "esc", "o":
		v.show(Overview)
	case "m":
		if v.Page == Models {
			v.nextSort()
		}
		v.show(Models)
	case "s":
		v.nextSort()
	case "w", "g":
		v.show(GPUs)
	case "r":
		v.show(Misses)
	case "p", "space", " ":
		v.Paused = !v.Paused
	case "?", "h":
		v.back = v.Page
		v.show(Help)
	default:
		v.scroll(key)
	}
	return false
}

func (v *View) nextSort() { v.Sort = (v.Sort + 1) % sorts }

func (v *View) show(page Page) {
	if v.Page != page {
		v.Page, v.top = page, 0
	}
}

func (v *View) scroll(key string) {
	page := max(1, v.Height-8)
	switch key {
	case "down", "j":
		v.top++
	case "up", "k":
		v.top--
	case "pgdown":
		v.top += page
	case "pgup":
		v.top -= page
	case "home":
		v.top = 0
	case "end":
		v.top = 1 << 30
	}
	v.top = max(0, v.top)
}

// window returns which of n lines are visible in `room` lines.
func (v *View) window(n, room int) (from, to int) {
	v.top = max(0, min(v.top, n-room))
	return v.top, min(n, v.top+max(0, room))
}
