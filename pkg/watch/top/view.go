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

// The orders: the most requests first, the least in their SLO, the most cold starts,
// and by name.
const (
	ByRate Sort = iota
	BySLO
	ByCold
	ByName
	sorts
)

var sortNames = [...]string{"rate", "in SLO", "cold starts", "name"}

// View is how somebody looks at a State.
type View struct {
	Width, Height int
	// Color: styles may be written; else it is plain text.
	Color  bool
	Page   Page
	Sort   Sort
	Paused bool
	top    int  // the first line that is shown of what scrolls
	back   Page // where Help goes back to
}

// wholeHeight is that of a view on which everything is shown, and no keys.
const wholeHeight = 1 << 20

func (v *View) whole() bool { return v.Height >= wholeHeight }

// Key takes in a key by its name ("q", "up", "pgdown"), and says whether to quit.
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

// window is which of n lines are shown in room for so many.
func (v *View) window(n, room int) (from, to int) {
	v.top = max(0, min(v.top, n-room))
	return v.top, min(n, v.top+max(0, room))
}
