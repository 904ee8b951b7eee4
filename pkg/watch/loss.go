package watch

// Loss is what a listener heard and could not keep.
type Loss struct {
	Listener string
	Lost     int64
}

// ReportLoss adds a listener that may drop what it is given. It is called before the
// services start; lost from any goroutine.
func (h *Hub) ReportLoss(listener string, lost func() int64) {
	h.losses = append(h.losses, func() Loss { return Loss{listener, lost()} })
}

// Losses are of every listener that may lose something.
func (h *Hub) Losses() []Loss {
	if h == nil {
		return nil
	}
	list := make([]Loss, 0, len(h.losses))
	for _, loss := range h.losses {
		list = append(list, loss())
	}
	return list
}
