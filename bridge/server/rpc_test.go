package server

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"github.com/kalpana-dev/kalpana/bridge"
)

// answer is a JSON-RPC response, read by hand.
type answer struct {
	ID     json.RawMessage `json:"id"`
	Result json.RawMessage `json:"result"`
	Error  *struct {
		Code    int64  `json:"code"`
		Message string `json:"message"`
	} `json:"error"`
}

func exchange(t *testing.T, ws *websocket.Conn, request string) (a answer) {
	t.Helper()
	if err := ws.WriteMessage(websocket.TextMessage, []byte(request)); err != nil {
		t.Fatal(err)
	}
	if err := ws.ReadJSON(&a); err != nil {
		t.Fatalf("%s: %v", request, err)
	}
	return a
}

func TestRPC_IsPlainJSONRPC(t *testing.T) {
	c := start(t, "serve")
	c.waitReady()
	c.write("f", "hi")
	ws := webSocket(t, c.BridgeAddr(), bridge.RPCPath, nil)
	a := exchange(t, ws, `{"jsonrpc":"2.0","id":"a","method":"readFile","params":{"path":"f"}}`)
	if string(a.ID) != `"a"` || string(a.Result) != `{"content":"hi","encoding":"utf-8","size":2,"truncated":false,"version":"h8f434346648f6b96df89dda901c5176b"}` {
		t.Errorf("%s %s %v", a.ID, a.Result, a.Error)
	}
	for request, code := range map[string]int64{
		`{"jsonrpc":"2.0","id":1,"method":"deleteEverything"}`:                             bridge.CodeUnknownMethod,
		`{"jsonrpc":"2.0","id":2,"method":"ReadFile","params":{"path":"f"}}`:               bridge.CodeUnknownMethod,
		`{"jsonrpc":"2.0","id":3,"method":"readFile","params":{"path":7}}`:                 bridge.CodeInvalid,
		`{"jsonrpc":"2.0","id":4,"method":"readFile","params":{"path":"f","more":true}}`:   bridge.CodeInvalid,
		`{"jsonrpc":"2.0","id":5,"method":"readFile","params":[]}`:                         bridge.CodeInvalid,
		`{"jsonrpc":"2.0","id":6,"method":"readFile"}`:                                     bridge.CodeInvalid,
		`{"jsonrpc":"2.0","id":7,"method":"readFile","params":{"path":"../x"}}`:            bridge.CodeOutside,
		`{"jsonrpc":"2.0","id":8,"method":"listFiles","params":{"path":"","limit":99999}}`: bridge.CodeInvalid,
	} {
		if a := exchange(t, ws, request); a.Error == nil || a.Error.Code != code || a.Error.Message == "" {
			t.Errorf("%s: %+v, want code %d", request, a, code)
		}
	}
	if a := exchange(t, ws, `{"jsonrpc":"2.0","id":9,"method":"health","params":null}`); a.Error != nil {
		t.Errorf("%+v", a.Error)
	}
}

func TestRPC_WhatIsNotTheProtocolEndsTheConnection(t *testing.T) {
	c := start(t, "serve")
	for name, send := range map[string]func(*websocket.Conn) error{
		"not JSON": func(ws *websocket.Conn) error { return ws.WriteMessage(websocket.TextMessage, []byte("hello")) },
		"binary": func(ws *websocket.Conn) error {
			return ws.WriteMessage(websocket.BinaryMessage, []byte(`{"jsonrpc":"2.0","id":1,"method":"health"}`))
		},
		"a batch": func(ws *websocket.Conn) error {
			return ws.WriteMessage(websocket.TextMessage, []byte(`[{"jsonrpc":"2.0","id":1,"method":"health"}]`))
		},
		"too long": func(ws *websocket.Conn) error {
			_ = ws.WriteMessage(websocket.TextMessage, []byte(`"`+strings.Repeat("x", bridge.MaxFrame)+`"`))
			return nil // The bridge may have hung up before all was written.
		},
	} {
		ws := webSocket(t, c.BridgeAddr(), bridge.RPCPath, nil)
		if err := send(ws); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		_, msg, err := ws.ReadMessage()
		var timeout net.Error
		if err == nil || (errors.As(err, &timeout) && timeout.Timeout()) {
			t.Errorf("%s: answered %q, %v", name, msg, err)
		}
	}
}

func TestRPC_ARequestTooManyAtOnceIsRefused(t *testing.T) {
	c := start(t, "serve")
	c.waitReady()
	ws := webSocket(t, c.BridgeAddr(), bridge.RPCPath, nil)
	for id := range bridge.MaxInFlight {
		request := fmt.Sprintf(`{"jsonrpc":"2.0","id":%d,"method":"runCommand","params":{"argv":["sleep","60"]}}`, id)
		if err := ws.WriteMessage(websocket.TextMessage, []byte(request)); err != nil {
			t.Fatal(err)
		}
	}
	a := exchange(t, ws, `{"jsonrpc":"2.0","id":100,"method":"health"}`)
	if string(a.ID) != "100" || a.Error == nil || a.Error.Code != bridge.CodeBusy {
		t.Fatalf("%+v", a)
	}
	a = exchange(t, ws, `{"jsonrpc":"2.0","id":3,"method":"health"}`)
	if a.Error == nil || a.Error.Code != bridge.CodeInvalidRequest {
		t.Errorf("an id twice: %+v", a)
	}
	a = exchange(t, ws, `{"jsonrpc":"2.0","method":"$/cancelRequest","params":{"id":5}}`)
	if string(a.ID) != "5" || a.Error == nil || a.Error.Code != bridge.CodeCancelled {
		t.Fatalf("%+v", a)
	}
	if a = exchange(t, ws, `{"jsonrpc":"2.0","id":101,"method":"health"}`); a.Error != nil {
		t.Errorf("after a cancel: %+v", a.Error)
	}
	for _, nonsense := range []string{`{}`, `{"id":{}}`, `{"id":null}`, `[]`, `null`, `{"id":999}`} {
		request := `{"jsonrpc":"2.0","method":"$/cancelRequest","params":` + nonsense + `}`
		if err := ws.WriteMessage(websocket.TextMessage, []byte(request)); err != nil {
			t.Fatal(err)
		}
	}
	if a = exchange(t, ws, `{"jsonrpc":"2.0","id":102,"method":"health"}`); a.Error != nil {
		t.Errorf("after cancels of nothing: %+v", a.Error)
	}
}

func TestRPC_CallsThatAreTooManyWaitInTheClient(t *testing.T) {
	c := start(t, "serve")
	c.waitReady()
	cl := c.dial()
	var all sync.WaitGroup
	for range 3 * bridge.MaxInFlight {
		all.Go(func() {
			if _, err := cl.RunCommand(t.Context(), bridge.RunCommandParams{Argv: []string{"sleep", "0.05"}}); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
}

func TestRPC_APeerThatNeverReadsBlocksNobody(t *testing.T) {
	t.Parallel()
	c := start(t, "serve", func(cfg *Config) {
		cfg.timing.stream = bridge.Timing{Write: 200 * time.Millisecond, Ping: time.Minute, Pong: time.Minute}
	})
	c.waitReady()
	c.write("big", strings.Repeat("x", bridge.MaxContent))
	ws := webSocket(t, c.BridgeAddr(), bridge.RPCPath, nil)
	_ = ws.SetWriteDeadline(time.Now().Add(30 * time.Second))
	_ = ws.NetConn().(*net.TCPConn).SetReadBuffer(4 << 10) // So that it is full soon.
	// Answers pile up until the sockets are full; then the bridge must hang up, not wait.
	began, failed := time.Now(), false
	for id := 0; !failed && time.Since(began) < 25*time.Second; id++ {
		request := fmt.Sprintf(`{"jsonrpc":"2.0","id":%d,"method":"readFile","params":{"path":"big"}}`, id)
		failed = ws.WriteMessage(websocket.TextMessage, []byte(request)) != nil
	}
	if !failed {
		t.Errorf("the bridge has not hung up after %s", time.Since(began))
	}
	if _, err := c.dial().Health(t.Context()); err != nil {
		t.Errorf("another connection: %v", err)
	}
}

func TestRPC_APeerThatAnswersNoPingIsGone(t *testing.T) {
	t.Parallel()
	c := start(t, "serve", func(cfg *Config) {
		cfg.timing.stream = bridge.Timing{Write: 10 * time.Second, Ping: 100 * time.Millisecond, Pong: 2 * time.Second}
	})
	silent := webSocket(t, c.BridgeAddr(), bridge.RPCPath, nil)
	silent.SetPingHandler(func(string) error { return nil })
	if _, _, err := silent.ReadMessage(); err == nil || strings.Contains(err.Error(), "timeout") {
		t.Errorf("the bridge did not hang up: %v", err)
	}
	cl := c.dial()
	time.Sleep(2500 * time.Millisecond) // longer than a ping and the wait for its answer
	if _, err := cl.Health(t.Context()); err != nil {
		t.Errorf("a peer that answers pings: %v", err)
	}
}

func TestRPC_TheEndOfTheBridgeEndsEveryCall(t *testing.T) {
	c := start(t, "serve")
	c.waitReady()
	cl := c.dial()
	ended := make(chan error, 1)
	go func() {
		_, err := cl.RunCommand(t.Context(), bridge.RunCommandParams{Argv: []string{"sleep", "60"}})
		ended <- err
	}()
	time.Sleep(50 * time.Millisecond)
	if err := c.stop(); err != nil {
		t.Error(err)
	}
	if err := <-ended; !errors.Is(err, bridge.ErrClosed) && !errors.Is(err, bridge.ErrCancelled) {
		t.Errorf("%v", err)
	}
	<-cl.Done()
}

func TestHello_TellsWhatThereIs(t *testing.T) {
	c := start(t, "serve", func(cfg *Config) { cfg.Version = "v9" })
	hello := c.dial().Hello()
	if hello.Protocol != bridge.Protocol || hello.Version != "v9" || !slices.IsSorted(hello.Methods) ||
		!slices.Contains(hello.Methods, bridge.MethodReadFile) || !slices.Contains(hello.Features, bridge.FeatureTerminal) {
		t.Errorf("%+v", hello)
	}
	ws := webSocket(t, c.BridgeAddr(), bridge.RPCPath, nil)
	if a := exchange(t, ws, `{"jsonrpc":"2.0","id":1,"method":"hello","params":{"protocol":99}}`); a.Error != nil {
		t.Errorf("to a newer client: %+v", a.Error)
	}
	if a := exchange(t, ws, `{"jsonrpc":"2.0","id":2,"method":"hello"}`); a.Error == nil || a.Error.Code != bridge.CodeInvalid {
		t.Errorf("to none: %+v", a)
	}
}

func TestRPC_ManyCommandsHoldUpNoQuickCall(t *testing.T) {
	t.Parallel()
	c := start(t, "serve")
	cl := c.dial()
	ctx, stop := context.WithCancel(t.Context())
	var all sync.WaitGroup
	for range 2 * bridge.MaxInFlight {
		all.Go(func() { _, _ = cl.RunCommand(ctx, bridge.RunCommandParams{Argv: []string{"sleep", "60"}}) })
	}
	for range 100 {
		if _, err := cl.ListCommands(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	stop()
	all.Wait()
}

func TestRPC_OtherMethodsAreServedBesideItsOwn(t *testing.T) {
	c := start(t, "serve", func(cfg *Config) {
		say := func(_ context.Context, params json.RawMessage) (any, error) { return params, nil }
		cfg.Methods = map[string]func(context.Context, json.RawMessage) (any, error){"say": say, bridge.MethodHealth: say}
	})
	cl := c.dial()
	var got []int
	if err := cl.Call(t.Context(), "say", []int{1, 2}, &got); err != nil || !slices.Equal(got, []int{1, 2}) {
		t.Errorf("%v, %v", got, err)
	}
	if _, err := cl.Health(t.Context()); err != nil {
		t.Errorf("its own is replaced: %v", err)
	}
	if err := cl.Call(t.Context(), "nope", nil, &got); !errors.Is(err, bridge.ErrUnknownMethod) {
		t.Errorf("%v", err)
	}
}
