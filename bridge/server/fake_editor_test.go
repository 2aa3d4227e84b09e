package server

import (
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/signal"
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/gorilla/websocket"
	"go.uber.org/goleak"
)

// fakeEditorEnv makes this test binary a code-server that starts in milliseconds. Its value is a mode:
//
//	serve       listens at once
//	slow        listens after 300 ms
//	never       runs and does not listen
//	crash       says why and exits with 1
//	crash-once  crashes unless the file in $FAKE_EDITOR_MARK exists, which it makes
//	stubborn    serves, and ignores SIGTERM
const fakeEditorEnv = "FAKE_EDITOR"

func TestMain(m *testing.M) {
	if config := os.Getenv(bridgeEnv); config != "" {
		os.Exit(bridgeProcess(config))
	}
	if mode := os.Getenv(fakeEditorEnv); mode != "" {
		os.Exit(fakeEditor(mode))
	}
	goleak.VerifyTestMain(m)
}

func fakeEditor(mode string) int {
	switch mode {
	case "crash":
		fmt.Println("fake: the disk is on fire")
		return 1
	case "crash-once":
		mark := os.Getenv("FAKE_EDITOR_MARK")
		if _, err := os.Stat(mark); err != nil {
			_ = os.WriteFile(mark, nil, 0o600)
			return 1
		}
	case "slow":
		time.Sleep(300 * time.Millisecond)
	case "never":
		time.Sleep(time.Hour)
	case "stubborn":
		signal.Ignore(syscall.SIGTERM)
	}
	at := slices.Index(os.Args, "--socket")
	l, err := net.Listen("unix", os.Args[at+1])
	if err != nil {
		fmt.Println("fake:", err)
		return 1
	}
	http.HandleFunc("/healthz", func(http.ResponseWriter, *http.Request) {})
	http.HandleFunc("/env", func(w http.ResponseWriter, _ *http.Request) { _ = json.NewEncoder(w).Encode(os.Environ()) })
	http.HandleFunc("/args", func(w http.ResponseWriter, _ *http.Request) { _ = json.NewEncoder(w).Encode(os.Args) })
	http.HandleFunc("/die", func(http.ResponseWriter, *http.Request) { os.Exit(3) })
	http.HandleFunc("/pid", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, os.Getpid()) })
	http.HandleFunc("/ws", echoWebSocket)
	http.HandleFunc("/", describeRequest)
	fmt.Println("fake: listening")
	_ = http.Serve(l, nil)
	return 0
}

// seen is what describeRequest answers.
type seen struct {
	Method, URI, Host string
	Header            http.Header
	Body              string
}

func describeRequest(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	_ = json.NewEncoder(w).Encode(seen{r.Method, r.RequestURI, r.Host, r.Header, string(body)})
}

// echoWebSocket sends the request's header as JSON, then each message back.
func echoWebSocket(w http.ResponseWriter, r *http.Request) {
	up := websocket.Upgrader{CheckOrigin: func(*http.Request) bool { return true }}
	ws, err := up.Upgrade(w, r, nil)
	if err != nil {
		return
	}
	defer ws.Close()
	_ = ws.WriteJSON(seen{r.Method, r.RequestURI, r.Host, r.Header, ""})
	for {
		kind, msg, err := ws.ReadMessage()
		if err != nil || ws.WriteMessage(kind, msg) != nil {
			return
		}
	}
}
