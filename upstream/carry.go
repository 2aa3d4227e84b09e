package upstream

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net/http"
	"net/textproto"
	"strings"
	"sync"

	"golang.org/x/net/http/httpguts"
)

// Target is where [Transport.Carry] takes a request, and how.
type Target struct {
	Addr string // host:port
	// Header is added to the request's own; its names are canonical.
	Header []Field
	// Answer may change the head of the answer; its error ends the call before anything was answered.
	Answer func(*http.Response) error
	// Flush passes every piece of the body on at once; a body without a length, or of events, is in any case.
	Flush bool
}

// Field is one line of a header.
type Field struct{ Name, Value string }

// hopByHop are the fields that concern one connection alone (RFC 9110 section 7.6.1, and what preceded it).
var hopByHop = [...]string{
	"Connection", "Proxy-Connection", "Keep-Alive", "Proxy-Authenticate", "Proxy-Authorization", "Te", "Trailer", "Transfer-Encoding", "Upgrade",
}

// notSent are the fields of a request that are not passed on as they came.
var notSent = func() map[string]bool {
	all := map[string]bool{"Host": true, "Content-Length": true}
	for _, name := range hopByHop {
		all[name] = true
	}
	return all
}()

// Simple reports whether a request of a server's is one that [Transport.Carry] takes: most are.
func Simple(r *http.Request) bool { return r.ContentLength == 0 && simple(r) }

// Carry passes a [Simple] request of a server's on to a target, and the answer to w, as
// httputil.ReverseProxy does: without its copies of the request and its header. An error means that nothing was
// answered. An answer that breaks off ends in a panic with http.ErrAbortHandler, as there. ctx bounds it in the
// place of the request's own.
func (t *Transport) Carry(ctx context.Context, w http.ResponseWriter, r *http.Request, to *Target) error {
	resp, err := t.ask(ctx, to.Addr, r, func(out io.Writer) error {
		return writeHead(out.(*bufio.Writer), r, to.Header)
	}, func(code int, h http.Header) error {
		header := w.Header()
		copyHeader(header, h)
		w.WriteHeader(code)
		clear(header)
		return nil
	})
	if err != nil {
		return err
	}
	removeHopByHop(resp.Header)
	if err := to.Answer(resp); err != nil {
		_ = resp.Body.Close()
		return err
	}
	header := w.Header()
	copyHeader(header, resp.Header)
	announced := len(resp.Trailer)
	if announced > 0 {
		names := make([]string, 0, announced)
		for name := range resp.Trailer {
			names = append(names, name)
		}
		header["Trailer"] = append(header["Trailer"], strings.Join(names, ", "))
	}
	w.WriteHeader(resp.StatusCode)
	stream := resp.ContentLength == -1 || strings.HasPrefix(resp.Header.Get("Content-Type"), "text/event-stream")
	if stream && len(resp.Header["Content-Type"]) > 0 { // without one, net/http looks at the body's start
		_ = http.NewResponseController(w).Flush() // whoever waits for events is told that there may be some
	}
	err = copyBody(w, resp.Body, stream || to.Flush)
	_ = resp.Body.Close()
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	if len(resp.Trailer) == 0 {
		return nil
	}
	_ = http.NewResponseController(w).Flush() // else a short body would get a length, and no trailer
	for name, values := range resp.Trailer {
		if len(resp.Trailer) != announced {
			name = http.TrailerPrefix + name
		}
		header[name] = append(header[name], values...)
	}
	return nil
}

// errMalformed says that a request holds what would end a line of its head: not by net/http's server, but
// a rewrite in front of us may have put it there.
var errMalformed = errors.New("the request's head is malformed")

func writeHead(out *bufio.Writer, r *http.Request, further []Field) error {
	uri := r.URL.RequestURI()
	if strings.ContainsFunc(uri, isControl) || !httpguts.ValidHostHeader(r.Host) {
		return errMalformed
	}
	_, _ = out.WriteString(r.Method)
	_ = out.WriteByte(' ')
	_, _ = out.WriteString(uri)
	_, _ = out.WriteString(" HTTP/1.1\r\nHost: ")
	_, _ = out.WriteString(r.Host)
	_, _ = out.WriteString("\r\n")
	for name, values := range r.Header {
		if notSent[name] {
			continue
		}
		if !httpguts.ValidHeaderFieldName(name) {
			return errMalformed
		}
		for _, value := range values {
			if !httpguts.ValidHeaderFieldValue(value) {
				return errMalformed
			}
			writeField(out, name, value)
		}
	}
	for _, f := range further {
		writeField(out, f.Name, f.Value)
	}
	_, err := out.WriteString("\r\n")
	return err // of any of them: a bufio.Writer keeps its first
}

func isControl(r rune) bool { return r < ' ' || r == 0x7f }

func writeField(out *bufio.Writer, name, value string) {
	_, _ = out.WriteString(name)
	_, _ = out.WriteString(": ")
	_, _ = out.WriteString(value)
	_, _ = out.WriteString("\r\n")
}

func removeHopByHop(h http.Header) {
	for _, line := range h["Connection"] {
		for name := range strings.SplitSeq(line, ",") {
			if name = textproto.TrimString(name); name != "" {
				h.Del(name)
			}
		}
	}
	for _, name := range hopByHop {
		delete(h, name)
	}
}

func copyHeader(to, from http.Header) {
	for name, values := range from {
		if has := to[name]; len(has) > 0 {
			values = append(has, values...)
		}
		to[name] = values
	}
}

const copyBuffer = 32 << 10

var buffers = sync.Pool{New: func() any { return new([copyBuffer]byte) }}

func copyBody(w http.ResponseWriter, from io.Reader, flush bool) error {
	buffer := buffers.Get().(*[copyBuffer]byte)
	defer buffers.Put(buffer)
	var control *http.ResponseController
	if flush {
		control = http.NewResponseController(w)
	}
	for {
		n, err := from.Read(buffer[:])
		if n > 0 {
			if _, err := w.Write(buffer[:n]); err != nil {
				return err
			}
			if flush {
				_ = control.Flush()
			}
		}
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return err
		}
	}
}
