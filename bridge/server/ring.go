package server

// ring keeps the last bytes that are written to it, limit at most.
type ring struct {
	limit int
	kept  []byte
	at    int // where it goes on, once it is full
}

func (r *ring) write(p []byte) {
	if len(p) > r.limit {
		p = p[len(p)-r.limit:]
	}
	if room := r.limit - len(r.kept); room > 0 {
		take := min(room, len(p))
		r.kept = append(r.kept, p[:take]...)
		p = p[take:]
	}
	for len(p) > 0 {
		n := copy(r.kept[r.at:], p)
		r.at = (r.at + n) % r.limit
		p = p[n:]
	}
}

// bytes returns a copy of what is kept, oldest first.
func (r *ring) bytes() []byte {
	return append(append(make([]byte, 0, len(r.kept)), r.kept[r.at:]...), r.kept[:r.at]...)
}
