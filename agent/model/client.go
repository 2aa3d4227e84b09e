package model

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/openai/openai-go/v3"
	"github.com/openai/openai-go/v3/option"
)

// OpenRouter is the base URL that is used where none is set.
const OpenRouter = "https://openrouter.ai/api/v1"

// Config is how models are reached. Its zero value asks OpenRouter, with people's own keys only.
type Config struct {
	// BaseURL of the API, e.g. "https://openrouter.ai/api/v1" (the default) or "http://localhost:11434/v1". OpenRouter's
	// extensions (fallbacks, reasoning details, cache marks, cost) are used where its host or path names "openrouter", as it
	// does at gateways in front of it; any other server gets OpenAI's fields only, since some refuse what they do not know.
	BaseURL string
	// Key is the installation's. A server of one's own may need none.
	Key string
	// Referer and Title say which application asks, e.g. in OpenRouter's statistics. By default it is Kalpana.
	Referer, Title string
	// Transport carries the requests; nil for one of the client's own.
	Transport http.RoundTripper
	// Now tells the time by which the list of models ages, and to which a date in Retry-After is compared; nil for the clock.
	Now func() time.Time

	// Wait bounds the time without a piece of an answer, from the request on and later, whether or not comments come that
	// keep the connection alive: 5 minutes by default. Models that reason say nothing for minutes.
	Wait time.Duration
	// Idle bounds the time without a single byte once an answer has begun: 90 s by default.
	Idle time.Duration
	// Attempts bounds how often a request is sent while nothing of an answer has come: 4 by default.
	Attempts int
	// Backoff is the first wait between attempts, doubled each time: 500 ms by default. What the provider asks for in
	// Retry-After comes first.
	Backoff time.Duration
}

const (
	// retryFor is how long after the first attempt another may begin, and longestRetry what a provider may ask to wait: people
	// wait meanwhile.
	retryFor     = 2 * time.Minute
	longestRetry = 30 * time.Second
	// tail is how long what may follow the finish reason (usage, the end mark) is waited for.
	tail = 5 * time.Second
	// drain is how long the end of the body is waited for after the end mark, so that its connection can be used again.
	drain = 50 * time.Millisecond
)

// Client asks a provider. It is for use by several goroutines.
type Client struct {
	config     Config
	api        openai.Client
	host       string
	openRouter bool
	openAI     bool
	transport  http.RoundTripper
	list       list
}

// New returns a client, and an error if the base URL is none.
func New(config Config) (*Client, error) {
	config.BaseURL = cmp.Or(config.BaseURL, OpenRouter)
	base, err := url.Parse(config.BaseURL)
	if err != nil || base.Host == "" || base.Scheme != "http" && base.Scheme != "https" || base.User != nil || base.RawQuery != "" || base.Fragment != "" {
		return nil, errors.New("the base URL of the model provider must be like https://openrouter.ai/api/v1: http or https, a host and a path, no more")
	}
	config.Referer = cmp.Or(config.Referer, "https://github.com/kalpana-dev/kalpana")
	config.Title = cmp.Or(config.Title, "Kalpana")
	config.Wait = cmp.Or(config.Wait, 5*time.Minute)
	config.Idle = cmp.Or(config.Idle, 90*time.Second)
	config.Attempts = cmp.Or(config.Attempts, 4)
	config.Backoff = cmp.Or(config.Backoff, 500*time.Millisecond)
	if config.Now == nil {
		config.Now = time.Now
	}
	c := &Client{
		config: config, host: base.Hostname(), transport: config.Transport,
		openRouter: strings.Contains(strings.ToLower(base.Host+base.Path), "openrouter"),
		openAI:     strings.HasSuffix(base.Hostname(), ".openai.com"),
	}
	c.list.turn = make(chan struct{}, 1)
	if c.transport == nil {
		c.transport = newTransport()
	}
	options := []option.RequestOption{
		option.WithBaseURL(config.BaseURL),
		// A redirect would be to another host, which must not have the key.
		option.WithHTTPClient(&http.Client{Transport: c.transport, CheckRedirect: func(*http.Request, []*http.Request) error {
			return http.ErrUseLastResponse
		}}),
		option.WithMaxRetries(0), // attempts are counted here: those after a stream that broke are too
		option.WithHeader("User-Agent", "Kalpana"),
		option.WithMiddleware(statusToError),
	}
	if c.openRouter {
		options = append(options, option.WithHeader("HTTP-Referer", config.Referer), option.WithHeader("X-OpenRouter-Title", config.Title))
	}
	for _, name := range []string{"Lang", "Package-Version", "OS", "Arch", "Runtime", "Runtime-Version", "Retry-Count", "Timeout"} {
		options = append(options, option.WithHeaderDel("X-Stainless-"+name)) // nobody's business
	}
	// Not openai.NewClient: that takes keys and addresses from the environment.
	c.api = openai.Client{Options: options}
	return c, nil
}

func newTransport() *http.Transport {
	t := http.DefaultTransport.(*http.Transport).Clone()
	t.MaxIdleConns, t.MaxIdleConnsPerHost = 100, 100
	t.DisableCompression = true // it would hold pieces back
	t.MaxResponseHeaderBytes = 64 << 10
	t.HTTP2 = &http.HTTP2Config{SendPingTimeout: 30 * time.Second, PingTimeout: 15 * time.Second}
	return t
}

// Provider names the provider in a word, for metrics.
func (c *Client) Provider() string {
	switch {
	case c.openRouter:
		return "openrouter"
	case c.openAI:
		return "openai"
	default:
		return "other"
	}
}

// Configured says whether models can be asked without a key of a person's own.
func (c *Client) Configured() bool { return c.config.Key != "" || !c.openRouter && !c.openAI }

// Close ends connections that are not in use.
func (c *Client) Close() {
	if t, ok := c.transport.(interface{ CloseIdleConnections() }); ok {
		t.CloseIdleConnections()
	}
}

// Stream asks for the next message, and calls emit with each piece of it as it comes, on this goroutine. While nothing has
// come, the request is sent again if it failed for a reason that may pass. The error is an *Error, or that of ctx, which
// ends it at once; the response beside it is what had come by then (never nil), with what it used as far as is known.
func (c *Client) Stream(ctx context.Context, r *Request, emit func(Delta)) (*Response, error) {
	began := time.Now()
	tell := &teller{host: c.host, key: cmp.Or(r.Key, c.config.Key), own: r.Key != "", request: r}
	if len(r.Models) == 0 {
		return new(Response), tell.failure(KindUnknownModel, 0, "")
	}
	if r.Key == "" && !c.Configured() {
		return new(Response), tell.failure(KindNotConfigured, 0, "")
	}
	body, err := c.encode(r)
	if err != nil {
		return new(Response), tell.failure(KindRefused, 0, "")
	}
	var spent Usage // by attempts that failed
	for attempt := 1; ; attempt++ {
		a := &answer{emit: emit, began: began, plain: !c.openRouter}
		err := c.attempt(ctx, tell, body, a)
		res := c.response(r, a, len(body), spent)
		if err == nil {
			return res, nil
		}
		if ctx.Err() != nil {
			return res, ctx.Err()
		}
		var failed *Error
		if !errors.As(err, &failed) {
			failed = tell.failure(KindBadAnswer, 0, "")
		}
		if res.Usage != (Usage{}) {
			failed.Usage = &res.Usage
		}
		wait, again := c.again(failed, attempt, time.Since(began))
		if a.chunks > 0 || !again {
			if attempt > 1 {
				failed.Message += fmt.Sprintf(" It was tried %d times.", attempt)
			}
			return res, failed
		}
		spent = res.Usage
		if r.Retrying != nil {
			r.Retrying(failed, wait)
		}
		if err := sleep(ctx, wait); err != nil {
			return res, err
		}
	}
}

// again says whether to try another time after a failure, and after what wait.
func (c *Client) again(failed *Error, attempt int, elapsed time.Duration) (time.Duration, bool) {
	if !failed.passes || attempt >= c.config.Attempts {
		return 0, false
	}
	wait := c.config.Backoff << (attempt - 1)
	if failed.Kind == KindRateLimited {
		wait *= 4 // many ask at once, and nobody said for how long
	}
	wait = wait*3/4 + rand.N(wait/2+1) // #nosec G404 -- so that not all come back at once
	if failed.RetryAfter > 0 {
		wait = failed.RetryAfter + rand.N(wait/4+1) // #nosec G404
	}
	return wait, wait <= longestRetry && elapsed+wait < retryFor
}

func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

var errStalled = errors.New("nothing came for too long")

// attempt sends the request once and reads the answer.
func (c *Client) attempt(parent context.Context, tell *teller, body []byte, a *answer) error {
	ctx, cancel := context.WithCancelCause(parent)
	defer cancel(nil)
	watch := newWatchdog(c.config.Wait, c.config.Idle, func() { cancel(errStalled) })
	defer watch.stop()

	// The body is decoded here, not by the library's stream. Measured, that costs a quarter (4 against 17 µs a piece); and
	// the library's takes "error": null for an error, knows no reasoning and no cost, and bounds a line at 32 MiB.
	var res *http.Response
	err := c.api.Post(ctx, "chat/completions", body, &res, option.WithAPIKey(tell.key), option.WithHeader("Accept", "text/event-stream"))
	if err != nil {
		return c.unanswered(ctx, tell, err)
	}
	defer func() { _ = res.Body.Close() }()
	if failed := c.notStream(tell, res); failed != nil {
		return failed
	}
	a.watch = watch
	return c.read(ctx, tell, &watched{res.Body, watch}, a)
}

// unanswered is the error for a request that got no stream.
func (c *Client) unanswered(ctx context.Context, tell *teller, err error) *Error {
	if refused, ok := errors.AsType[*statusError](err); ok {
		return tell.status(refused, c.config.Now())
	}
	if errors.Is(context.Cause(ctx), errStalled) {
		return tell.stalled(c.config.Wait)
	}
	return tell.unreachable(err)
}

// watchdog calls a function when nothing came for too long.
type watchdog struct {
	timer      *time.Timer
	wait, idle time.Duration
	until      time.Time // the next piece must be there by then
	begun      bool      // a piece has come
	fixed      bool      // to what is left for the end
}

func newWatchdog(wait, idle time.Duration, expired func()) *watchdog {
	return &watchdog{timer: time.AfterFunc(wait, expired), wait: wait, idle: idle, until: time.Now().Add(wait)}
}

func (w *watchdog) stop() { w.timer.Stop() }

// bytes were read.
func (w *watchdog) bytes() {
	if w.begun && !w.fixed {
		w.timer.Reset(min(w.idle, time.Until(w.until)))
	}
}

// piece was found among them.
func (w *watchdog) piece() {
	w.begun = true
	w.until = time.Now().Add(w.wait)
	if !w.fixed {
		w.timer.Reset(min(w.idle, w.wait))
	}
}

// last gives what still comes so much time, whatever comes.
func (w *watchdog) last(d time.Duration) {
	w.fixed = true
	w.timer.Reset(d)
}

// watched tells a watchdog what is read.
type watched struct {
	io.Reader
	watch *watchdog
}

func (w *watched) Read(p []byte) (int, error) {
	n, err := w.Reader.Read(p)
	if n > 0 {
		w.watch.bytes()
	}
	return n, err
}
