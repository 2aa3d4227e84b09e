package gateway_test

import (
	"crypto/sha256"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/gorilla/websocket"
)

// app is what runs in a workspace: VS Code, or a program under development.
var app = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
	switch r.URL.Path {
	case "/echo":
		echo(w, r)
	case "/body":
		sum := sha256.New()
		n, err := io.Copy(sum, r.Body)
		fmt.Fprintf(w, "%d %x %v", n, sum.Sum(nil), err)
	case "/headers": // answers with what the query says
		for name, values := range r.URL.Query() {
			w.Header()[name] = values
		}
		w.WriteHeader(http.StatusOK)
	case "/early": // hints before the answer
		w.Header().Set("Link", "</style.css>; rel=preload")
		w.Header().Set("Set-Cookie", "__Host-kalpana_grant=evil")
		w.WriteHeader(http.StatusEarlyHints)
		w.Header().Del("Set-Cookie")
		w.WriteHeader(http.StatusOK)
	case "/stream":
		w.Header().Set("Content-Length", "11")
		if r.URL.Query().Has("endless") {
			w.Header().Del("Content-Length")
		}
		_, _ = io.WriteString(w, "first ")
		_ = http.NewResponseController(w).Flush()
		<-r.Context().Done()
	case "/slow":
		time.Sleep(300 * time.Millisecond)
		_, _ = io.WriteString(w, "slow")
	case "/silent":
		<-r.Context().Done()
	case "/reset":
		panic(http.ErrAbortHandler)
	case "/cut":
		w.Header().Set("Content-Length", "1000")
		_, _ = io.WriteString(w, "the beginning")
		_ = http.NewResponseController(w).Flush()
		panic(http.ErrAbortHandler)
	default:
		_, _ = io.WriteString(w, "hello")
	}
})

func echo(w http.ResponseWriter, r *http.Request) {
	upgrader := websocket.Upgrader{CheckOrigin: func(*http.Request) bool { return true }}
	ws, err := upgrader.Upgrade(w, r, nil)
	if err != nil {
		return
	}
	defer ws.Close()
	for {
		kind, message, err := ws.ReadMessage()
		if err != nil || ws.WriteMessage(kind, message) != nil {
			return
		}
	}
}
