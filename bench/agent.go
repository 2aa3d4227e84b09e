package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/kalpana-dev/kalpana/agent/model/modeltest"
)

const (
	agentModel   = "mistralai/played-small" // costs nothing
	agentThinks  = 30 * time.Millisecond    // the played provider's time until its first piece
	agentAsks    = 50                       // in one run
	agentStreams = 200
	agentPace    = 10 * time.Millisecond // between the pieces of a stream
	// agentRamp is within what time streams begin, one after another.
	agentRamp = 2 * time.Second
)

// agents is an installation whose model provider is played by this process.
type agents struct {
	*installation
	workspace workspaceView
	provider  *httptest.Server
	http      *http.Client
	chats     int
}

// stamp is the time now, as long as a word: a piece of an answer is mostly one.
func stamp() string { return strconv.FormatInt(time.Since(epoch).Microseconds(), 36) }

var epoch = time.Now()

// agents starts one, with a workspace that is not awake: an answer without tools needs none.
func (b *bench) agents(ctx context.Context) (*agents, error) {
	b.quiet()
	played := modeltest.NewProvider()
	played.Answer(func(r modeltest.Request) modeltest.Turn {
		if n, err := strconv.Atoi(r.Said()); err == nil {
			return modeltest.Turn{modeltest.Paced(n, agentPace, func(int) string { return stamp() + " " })}
		}
		return modeltest.Turn{modeltest.Pause(agentThinks), modeltest.Text("Well", ".")}
	})
	a := &agents{
		provider: httptest.NewServer(played),
		http:     &http.Client{Transport: &http.Transport{DialContext: toLoopback, MaxIdleConnsPerHost: 2 * agentStreams}},
	}
	b.atEnd(func() {
		a.http.CloseIdleConnections()
		played.Close()
		a.provider.Close()
	})
	var err error
	a.installation, err = install(ctx, b.binary, b.tempDir(), b.image,
		"KALPANA_AGENT_BASE_URL="+a.base(), "OPENROUTER_API_KEY="+modeltest.Key, "KALPANA_AGENT_MODELS="+agentModel)
	if err != nil {
		return nil, err
	}
	b.atEnd(func() { a.stop() })
	if a.workspace, err = a.client.create(ctx); err != nil {
		return nil, err
	}
	b.engine.workspaces = append(b.engine.workspaces, a.workspace.ID)
	return a, nil
}

func (a *agents) base() string { return a.provider.URL + "/openrouter/api/v1" }

// ask sends a message to a new chat.
func (a *agents) ask(ctx context.Context, chat, text string) (*http.Response, error) {
	body, err := json.Marshal(map[string]any{
		"id": chat, "trigger": "submit-message", "workspace": a.workspace.ID,
		"messages": []any{map[string]any{"id": "m1", "role": "user", "parts": []any{map[string]string{"type": "text", "text": text}}}},
	})
	if err != nil {
		return nil, err
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, a.client.console+"/api/agent", bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	for name, value := range map[string]string{
		"Content-Type": "application/json", "Origin": a.client.console, "Cookie": a.client.cookieHeader("kalpana.localhost"),
		"Sec-Fetch-Site": "same-origin", "Sec-Fetch-Mode": "cors", "Sec-Fetch-Dest": "empty",
	} {
		r.Header.Set(name, value)
	}
	return a.answer(r)
}

// askProvider sends a message to the provider as the gateway does.
func (a *agents) askProvider(ctx context.Context, _, text string) (*http.Response, error) {
	body, err := json.Marshal(map[string]any{
		"model": agentModel, "stream": true, "stream_options": map[string]bool{"include_usage": true},
		"messages": []any{map[string]string{"role": "user", "content": text}},
	})
	if err != nil {
		return nil, err
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, a.base()+"/chat/completions", bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	for name, value := range map[string]string{
		"Content-Type": "application/json", "Authorization": "Bearer " + modeltest.Key, "HTTP-Referer": "https://example.com", "X-OpenRouter-Title": "Bench",
	} {
		r.Header.Set(name, value)
	}
	return a.answer(r)
}

func (a *agents) answer(r *http.Request) (*http.Response, error) {
	resp, err := a.http.Do(r)
	if err != nil {
		return nil, err
	}
	if resp.StatusCode != http.StatusOK {
		text, _ := io.ReadAll(io.LimitReader(resp.Body, 300))
		resp.Body.Close()
		return nil, fmt.Errorf("%s %s: %s %s", r.Method, r.URL.Path, resp.Status, text)
	}
	return resp, nil
}

// first is the time until a stream has a piece of text, which begins with the given letters. It is read to its end.
func first(began time.Time, resp *http.Response, err error, piece string) (time.Duration, error) {
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	var took time.Duration
	var all strings.Builder
	for in := bufio.NewReader(resp.Body); ; {
		text, err := in.ReadString('\n')
		if took == 0 && strings.Contains(text, piece) {
			took = time.Since(began)
		}
		all.WriteString(text)
		switch {
		case errors.Is(err, io.EOF) && took > 0:
			return took, nil
		case errors.Is(err, io.EOF):
			return 0, fmt.Errorf("a stream without its text: %.600s", all.String())
		case err != nil:
			return 0, err
		}
	}
}

// benchAgentFirst measures the time until the first piece of an answer.
func (b *bench) benchAgentFirst(ctx context.Context) ([]line, error) {
	a, err := b.agents(ctx)
	if err != nil {
		return nil, err
	}
	defer b.quiet()
	l := line{
		Name: "agent-first", Unit: "ms", Peer: "the provider", Bar: 1, More: 5,
		What: fmt.Sprintf("first piece of an answer in a new chat, through the agent's route, against asking the same provider directly, which takes\n"+
			"%d ms for it; the median of %d, one after another", agentThinks.Milliseconds(), agentAsks),
	}
	measure := func(figures *[]float64, once func() (time.Duration, error)) func(context.Context) (string, error) {
		return func(ctx context.Context) (string, error) {
			var all []float64
			for range agentAsks {
				took, err := once()
				if err != nil {
					return "", fmt.Errorf("%w\n%s", err, a.log.Tail())
				}
				all = append(all, float64(took.Microseconds())/1000)
				if err := pause(ctx, 5*time.Millisecond); err != nil { // the run before is stored meanwhile
					return "", err
				}
			}
			*figures = append(*figures, median(all))
			return fmt.Sprintf("%.2f ms", median(all)), nil
		}
	}
	var ignored []float64
	agent := func() (time.Duration, error) {
		a.chats++
		began := time.Now()
		resp, err := a.ask(ctx, fmt.Sprintf("first-%d", a.chats), "Hello?")
		return first(began, resp, err, `"delta":"Well`)
	}
	if _, err := measure(&ignored, agent)(ctx); err != nil { // a new process is slower
		return nil, err
	}
	err = b.alternate(ctx, "agent-first",
		end{"Kalpana", measure(&l.Ours, agent)},
		end{"the provider", measure(&l.Theirs, func() (time.Duration, error) {
			began := time.Now()
			resp, err := a.askProvider(ctx, "", "Hello?")
			return first(began, resp, err, `"content":"Well`)
		})})
	return []line{l}, err
}

// benchAgentStreams measures many answers at once: how late their pieces come, and what memory they take.
func (b *bench) benchAgentStreams(ctx context.Context) ([]line, error) {
	length := 15 * time.Second
	a, err := b.agents(ctx)
	if err != nil {
		return nil, err
	}
	defer b.quiet()
	pieces := int(length / agentPace)
	what := fmt.Sprintf("%d answers at once of %d pieces a second, each for %s: all pieces come; ", agentStreams, int(time.Second/agentPace), length)
	late := line{Name: "agent-streams", Unit: "ms", Limit: 50, What: what + "how late, from the provider's writing on, the 99th percentile"}
	memory := line{Name: "agent-streams", Unit: "KiB each", Limit: 256, What: what + "by how much they make the gateway's\n" +
		"memory grow (heap and stacks in use after a garbage collection: what is resident beside that is garbage, of which Go lets there be as much again)"}
	run := func(ctx context.Context) (string, error) {
		if _, err := a.streams(ctx, 20, 50, a.ask); err != nil { // a new process is smaller
			return "", err
		}
		direct, err := a.streams(ctx, agentStreams, pieces, a.askProvider)
		if err != nil {
			return "", err
		}
		slices.Sort(direct)
		before, err := a.inUse(ctx, a.admin)
		if err != nil {
			return "", err
		}
		resident, err := a.resident()
		if err != nil {
			return "", err
		}
		var during, grown float64
		measured := make(chan error, 1)
		go func() {
			err := pause(ctx, agentRamp+length/2)
			if err == nil {
				during, err = a.inUse(ctx, a.admin)
			}
			if err == nil {
				grown, err = a.resident()
			}
			measured <- err
		}()
		cpu, err := a.cpuTime()
		if err != nil {
			return "", err
		}
		delays, err := a.streams(ctx, agentStreams, pieces, a.ask)
		if err := errors.Join(err, <-measured); err != nil {
			return "", fmt.Errorf("%w\n%s", err, a.log.Tail())
		}
		used, err := a.cpuTime()
		if err != nil {
			return "", err
		}
		slices.Sort(delays)
		at := func(part float64) float64 { return delays[int(part*float64(len(delays)-1))] }
		late.Ours = append(late.Ours, at(.99))
		memory.Ours = append(memory.Ours, (during-before)/agentStreams)
		return fmt.Sprintf("%d pieces, late by %.1f ms (median), %.1f ms (p99), %.1f ms at most; %.0f KiB each (resident %.0f); %.0f µs of processor time a piece; from the provider directly p99 %.1f ms",
			len(delays), at(.5), at(.99), at(1), (during-before)/agentStreams, (grown-resident)/agentStreams, float64((used-cpu).Microseconds())/float64(len(delays)), direct[int(.99*float64(len(direct)-1))]), nil
	}
	err = b.alternate(ctx, "agent-streams", end{"Kalpana", run})
	return []line{late, memory}, err
}

// streams has n answers given at once, and returns how late each of their pieces came, in milliseconds. All must come.
func (a *agents) streams(ctx context.Context, n, pieces int, ask asker) ([]float64, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var workers sync.WaitGroup
	delays := make([][]float64, n)
	for i := range n {
		a.chats++
		chat := fmt.Sprintf("stream-%d", a.chats)
		workers.Go(func() {
			err := pause(ctx, agentRamp*time.Duration(i)/time.Duration(n))
			if err == nil {
				delays[i], err = stream(ctx, ask, chat, pieces)
			}
			if err != nil {
				cancel(fmt.Errorf("the stream of %s: %w", chat, err))
			}
		})
	}
	workers.Wait()
	return slices.Concat(delays...), context.Cause(ctx)
}

// asker sends a message to a new chat of the agent's, or to the provider.
type asker func(ctx context.Context, chat, text string) (*http.Response, error)

// stream has one answer given.
func stream(ctx context.Context, ask asker, chat string, pieces int) ([]float64, error) {
	resp, err := ask(ctx, chat, strconv.Itoa(pieces))
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	delays := make([]float64, 0, pieces)
	in := bufio.NewReaderSize(resp.Body, 64<<10)
	for {
		text, err := in.ReadString('\n')
		if errors.Is(err, io.EOF) && len(delays) == pieces {
			return delays, nil
		}
		if err != nil {
			return nil, fmt.Errorf("%d of %d pieces: %w", len(delays), pieces, err)
		}
		if strings.Contains(text, `"type":"error"`) {
			return nil, errors.New(text)
		}
		_, piece, ok := strings.Cut(text, `"delta":"`)
		if !ok {
			if _, piece, ok = strings.Cut(text, `"content":"`); !ok { // the provider's own
				continue
			}
		}
		now := time.Since(epoch)
		text, _, _ = strings.Cut(piece, `"`)
		for written := range strings.FieldsSeq(text) { // each is the time at which it was written
			at, err := strconv.ParseInt(written, 36, 64)
			if err != nil {
				return nil, fmt.Errorf("a piece that nobody wrote: %q", text)
			}
			delays = append(delays, float64(now.Microseconds()-at)/1000)
		}
	}
}
