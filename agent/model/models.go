package model

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/openai/openai-go/v3/option"
)

const (
	listFresh   = 10 * time.Minute
	listAgain   = 30 * time.Second // after a failure
	listTimeout = 20 * time.Second
	maxList     = 16 << 20 // bytes; OpenRouter's has 2 MiB
	maxModels   = 10_000
	maxPrice    = 10_000_000_000 // $10,000 for a million tokens
	maxReckoned = 100_000_000    // tokens of an answer; times the price it fits into 64 bits
)

// list is what the provider has, as it was last seen.
type list struct {
	turn chan struct{} // one asks at a time

	mu     sync.Mutex
	infos  []Info
	slugs  map[string]string // ids by the names that answers have
	prices map[string]Info
	next   time.Time // when to ask again
	err    error
}

// Models returns the models that the provider has, by their names. They are asked for every 10 minutes; while the
// provider does not answer, they are those of the last time. The error is an *Error, or that of ctx.
func (c *Client) Models(ctx context.Context) ([]Info, error) {
	if infos, err, ok := c.list.seen(c.config.Now()); ok {
		return infos, err
	}
	select {
	case c.list.turn <- struct{}{}:
		defer func() { <-c.list.turn }()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	if infos, err, ok := c.list.seen(c.config.Now()); ok {
		return infos, err
	}
	infos, slugs, err := c.fetchModels(ctx, c.config.Key)
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	return c.list.keep(infos, slugs, err, c.config.Now())
}

// Check asks the provider whether it accepts a key. The error is an *Error, or that of ctx.
func (c *Client) Check(ctx context.Context, key string) error {
	if c.openRouter {
		_, err := c.get(ctx, "key", key)
		return err
	}
	_, _, err := c.fetchModels(ctx, key)
	return err
}

// seen returns the list, unless it is time to ask.
func (l *list) seen(now time.Time) (infos []Info, err error, fresh bool) { //nolint:revive // the error is a part of what was seen
	l.mu.Lock()
	defer l.mu.Unlock()
	if !now.Before(l.next) {
		return nil, nil, false
	}
	return slices.Clone(l.infos), l.err, true
}

func (l *list) keep(infos []Info, slugs map[string]string, err error, now time.Time) ([]Info, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.next = now.Add(listFresh)
	if err != nil {
		l.next = now.Add(listAgain)
		if l.infos != nil {
			err = nil // what was there is better than nothing
		}
		l.err = err
		return slices.Clone(l.infos), err
	}
	l.infos, l.slugs, l.err = infos, slugs, nil
	l.prices = make(map[string]Info, len(infos))
	for _, info := range infos {
		l.prices[info.ID] = info
	}
	return slices.Clone(infos), nil
}

// price reckons what an answer cost, where the provider does not say it but has prices.
func (l *list) price(model string, u *Usage) {
	l.mu.Lock()
	info, ok := l.prices[model]
	l.mu.Unlock()
	if !ok || info.InputPrice == 0 && info.OutputPrice == 0 {
		return
	}
	u.Cost = (min(u.Input, maxReckoned)*info.InputPrice + min(u.Output, maxReckoned)*info.OutputPrice + 999_999) / 1_000_000
	u.Priced, u.Estimated = true, true
}

// get asks for something, at most maxList bytes of it.
func (c *Client) get(ctx context.Context, path, key string) ([]byte, error) {
	tell := &teller{host: c.host, key: key, own: key != c.config.Key, request: new(Request)}
	ctx, cancel := context.WithTimeout(ctx, listTimeout)
	defer cancel()
	var body []byte
	options := []option.RequestOption{option.WithMiddleware(bounded)}
	if key != "" {
		options = append(options, option.WithAPIKey(key))
	}
	err := c.api.Get(ctx, path, nil, &body, options...)
	switch {
	case err == nil:
		return body, nil
	case errors.Is(err, errTooMuch):
		return nil, tell.failure(KindBadAnswer, 0, "its list of models has no end")
	}
	if refused, ok := errors.AsType[*statusError](err); ok {
		return nil, tell.status(refused, c.config.Now())
	}
	return nil, tell.unreachable(err)
}

// bounded is a middleware that reads no more of an answer than a list may have.
func bounded(req *http.Request, next func(*http.Request) (*http.Response, error)) (*http.Response, error) {
	res, err := next(req)
	if err == nil {
		res.Body = &boundedBody{res.Body, maxList}
	}
	return res, err
}

type boundedBody struct {
	io.ReadCloser
	left int
}

func (b *boundedBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if b.left -= n; b.left < 0 {
		return n, errTooMuch
	}
	return n, err
}

// wireInfo is a model of a list: OpenRouter's, or as servers of one's own have it.
type wireInfo struct {
	ID      string  `json:"id"`
	Name    string  `json:"name"`
	Slug    string  `json:"canonical_slug"`
	Context decimal `json:"context_length"`
	Window  decimal `json:"context_window"` // of some servers
	MaxLen  decimal `json:"max_model_len"`  // vLLM's
	Top     struct {
		Context   decimal `json:"context_length"`
		MaxOutput decimal `json:"max_completion_tokens"`
	} `json:"top_provider"`
	Pricing struct {
		Prompt     decimal `json:"prompt"` // US dollars a token
		Completion decimal `json:"completion"`
	} `json:"pricing"`
	Parameters []string `json:"supported_parameters"`
}

func (c *Client) fetchModels(ctx context.Context, key string) ([]Info, map[string]string, error) {
	body, err := c.get(ctx, "models", key)
	if err != nil {
		return nil, nil, err
	}
	var w struct {
		Data []json.RawMessage `json:"data"`
	}
	if err := json.Unmarshal(body, &w); err != nil || w.Data == nil {
		tell := &teller{host: c.host, request: new(Request)}
		return nil, nil, tell.failure(KindBadAnswer, 0, "there is no list of models")
	}
	infos, slugs := make([]Info, 0, min(len(w.Data), maxModels)), map[string]string{}
	for _, raw := range w.Data {
		var m wireInfo
		if json.Unmarshal(raw, &m) != nil || plainName(piece(m.ID)) == "" || len(infos) == maxModels {
			continue // one that is odd is no reason to have none
		}
		info := Info{
			ID: m.ID, Name: cmp.Or((&teller{request: new(Request)}).clean(m.Name), m.ID),
			Context:    tokensOf(cmp.Or(m.Top.Context, m.Context, m.Window, m.MaxLen)),
			MaxOutput:  tokensOf(m.Top.MaxOutput),
			Tools:      m.Parameters == nil || slices.Contains(m.Parameters, "tools"),
			Reasoning:  slices.Contains(m.Parameters, "reasoning"),
			InputPrice: priceOf(m.Pricing.Prompt), OutputPrice: priceOf(m.Pricing.Completion),
		}
		infos = append(infos, info)
		if m.Slug != "" && m.Slug != m.ID && !strings.Contains(m.ID, ":") {
			slugs[m.Slug] = m.ID
		}
	}
	slices.SortStableFunc(infos, func(a, b Info) int { return cmp.Compare(strings.ToLower(a.Name), strings.ToLower(b.Name)) })
	return infos, slugs, nil
}

func tokensOf(d decimal) int { return int(min(d.scaled(0), 1_000_000_000)) }

// priceOf is a price of a token in dollars as millionths of a dollar for a million tokens.
func priceOf(d decimal) int64 { return min(d.scaled(12), maxPrice) }

// nameOf is the model that answered, by the name by which it was asked for where that is known: answers call models by
// longer names ("anthropic/claude-4.5-sonnet-20250929").
func (c *Client) nameOf(asked []string, answered string) string {
	if len(asked) == 0 {
		return answered
	}
	if answered == "" || slices.Contains(asked, answered) {
		return cmp.Or(answered, asked[0])
	}
	c.list.mu.Lock()
	id := c.list.slugs[answered]
	c.list.mu.Unlock()
	if slices.Contains(asked, id) {
		return id
	}
	vendor, _, _ := strings.Cut(answered, "/")
	var same []string
	for _, name := range asked {
		base, _, _ := strings.Cut(name, ":") // a variant, as in ":free"
		if answered == base || strings.HasPrefix(answered, base+"-") || id != "" && id == base {
			return name
		}
		if v, _, ok := strings.Cut(name, "/"); ok && v == vendor {
			same = append(same, name)
		}
	}
	switch {
	case len(same) == 1:
		return same[0]
	case len(asked) == 1 && !strings.HasPrefix(asked[0], "openrouter/"): // which choose models
		return asked[0]
	default:
		return answered
	}
}
