package watch

// Loss is how many reports a listener received and had to drop.
type Loss struct {
	Listener string
	Lost     int64
}

// ReportLoss registers a listener that may drop reports; lost returns the number of
// drops so far. Call it before the services start; lost is called from any goroutine.
func (h *Hub) ReportLoss(listener string, lost func() int64) {
	h.losses = append(h.losses, func() Loss { return Loss{listener, lost()} })
}

// Losses returns the drops of every listener registered with ReportLoss.
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
