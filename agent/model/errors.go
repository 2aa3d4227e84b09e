package model

import (
	"context"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"syscall"
	"time"
	"unicode"
)

const (
	maxErrorBody = 256 << 10 // bytes of an error's body that are read
	maxWords     = 300       // characters of a provider's that are shown
	maxRetry     = 24 * time.Hour
)

// statusError is an answer with a status that is no success.
type statusError struct {
	status int
	header http.Header
	body   []byte
}

func (e *statusError) Error() string { return "status " + strconv.Itoa(e.status) }

// statusToError is a middleware that reads such answers, with a bound that the library does not have.
func statusToError(req *http.Request, next func(*http.Request) (*http.Response, error)) (*http.Response, error) {
	res, err := next(req)
	if err != nil || res.StatusCode < 300 {
		return res, err
	}
	defer func() { _ = res.Body.Close() }()
	body, _ := io.ReadAll(io.LimitReader(res.Body, maxErrorBody)) // what there is of it must do
	return nil, &statusError{res.StatusCode, res.Header, body}
}

// teller puts what went wrong with a request into words for people.
type teller struct {
	host, key string
	own       bool // the key is the person's
	request   *Request
}

// wireError is an error as providers write it. OpenRouter puts what the provider behind it said into the metadata.
type wireError struct {
	Code     json.RawMessage `json:"code"` // a number or a word
	Type     string          `json:"type"`
	Message  string          `json:"message"`
	Metadata struct {
		Raw      json.RawMessage `json:"raw"`
		Provider string          `json:"provider_name"`
		Reasons  []string        `json:"reasons"` // of moderation
	} `json:"metadata"`
}

// read takes what is there: an object, or a text.
func (e *wireError) read(raw json.RawMessage) {
	var text string
	if json.Unmarshal(raw, &text) == nil {
		e.Message = text
		return
	}
	_ = json.Unmarshal(raw, e)
}

// words is the message, that of the provider behind where there is one.
func (e *wireError) words() string {
	raw := string(e.Metadata.Raw)
	var text string
	if json.Unmarshal(e.Metadata.Raw, &text) == nil {
		raw = text
	}
	var behind struct {
		Error   json.RawMessage `json:"error"`
		Message string          `json:"message"`
	}
	if json.Unmarshal([]byte(raw), &behind) == nil {
		var inner wireError
		inner.read(behind.Error)
		raw = inner.Message
		if raw == "" {
			raw = behind.Message
		}
	}
	if raw == "" {
		return e.Message
	}
	if e.Metadata.Provider != "" {
		return e.Metadata.Provider + ": " + raw
	}
	return raw
}

// status is the error for an answer with a status.
func (t *teller) status(e *statusError, now time.Time) *Error {
	var body struct {
		Error   json.RawMessage `json:"error"`
		Message string          `json:"message"`
		Detail  json.RawMessage `json:"detail"`
	}
	_ = json.Unmarshal(e.body, &body)
	var wire wireError
	wire.read(body.Error)
	if wire.Message == "" {
		wire.Message = body.Message
	}
	failed := t.failure(kindOf(e.status, &wire), e.status, wire.words())
	if e.status == http.StatusTooManyRequests || e.status >= 500 || e.status == http.StatusRequestTimeout {
		failed.RetryAfter = retryAfter(e.header.Get("Retry-After"), now)
		if failed.Kind == KindRateLimited && failed.RetryAfter > 0 {
			failed.Message = t.text(KindRateLimited, e.status, wire.words(), failed.RetryAfter)
		}
	}
	return failed
}

// retryAfter reads the header (RFC 9110, 10.2.3): seconds or a date. It is at most a day.
func retryAfter(value string, now time.Time) time.Duration {
	value = strings.TrimSpace(value)
	if seconds, err := strconv.ParseFloat(value, 64); err == nil {
		if !(seconds > 0) { // also what is no number
			return 0
		}
		return time.Duration(min(seconds, maxRetry.Seconds()) * float64(time.Second))
	}
	if at, err := http.ParseTime(value); err == nil {
		return min(max(at.Sub(now), 0), maxRetry)
	}
	return 0
}

// midStream is the error for one that came in a stream.
func (t *teller) midStream(raw json.RawMessage) *Error {
	var wire wireError
	wire.read(raw)
	code, _ := strconv.Atoi(strings.Trim(string(wire.Code), `"`))
	kind := KindProvider
	if code >= 400 && code < 500 && code != http.StatusRequestTimeout {
		kind = kindOf(code, &wire)
	} else if isContext(&wire) {
		kind = KindContext
	}
	return t.failure(kind, 0, wire.words())
}

func kindOf(status int, wire *wireError) Kind {
	words := strings.ToLower(wire.words() + " " + wire.Message)
	has := func(any ...string) bool {
		for _, part := range any {
			if strings.Contains(words, part) {
				return true
			}
		}
		return false
	}
	switch {
	case status == http.StatusPaymentRequired:
		return KindNoCredit
	case status == http.StatusForbidden && len(wire.Metadata.Reasons) > 0:
		return KindContentFilter
	case status == http.StatusForbidden && has("key limit", "limit exceeded", "quota", "credit"):
		return KindNoCredit
	case status == http.StatusUnauthorized, status == http.StatusForbidden:
		return KindUnauthorized
	case status == http.StatusTooManyRequests && has("insufficient_quota", "exceeded your current quota", "check your plan and billing"):
		return KindNoCredit
	case status == http.StatusTooManyRequests:
		return KindRateLimited
	case status == http.StatusRequestTimeout, status >= 500:
		return KindUnavailable
	case isContext(wire), status == http.StatusRequestEntityTooLarge:
		return KindContext
	case status == http.StatusNotFound, has("not a valid model", "model_not_found", "no endpoints found", "model not found", "does not exist"):
		return KindUnknownModel
	case strings.Contains(string(wire.Code), "content_filter"), strings.Contains(string(wire.Code), "content_policy"):
		return KindContentFilter
	case status < 400:
		return KindBadAnswer // a redirect
	default:
		return KindRefused
	}
}

func isContext(wire *wireError) bool {
	words := strings.ToLower(wire.words() + " " + wire.Message + " " + string(wire.Code))
	for _, part := range []string{
		"context_length", "context length", "context window", "maximum context", "prompt is too long", "input is too long",
		"too many tokens", "exceeds the available context", "exceeds the maximum number of tokens",
	} {
		if strings.Contains(words, part) {
			return true
		}
	}
	return false
}

// unreachable is the error for a request that got no answer at all.
func (t *teller) unreachable(err error) *Error {
	why := "the connection broke"
	var dns *net.DNSError
	var unknown x509.UnknownAuthorityError
	var host x509.HostnameError
	var invalid x509.CertificateInvalidError
	var timeout net.Error
	switch {
	case errors.As(err, &dns):
		why = "its name is not found"
	case errors.Is(err, syscall.ECONNREFUSED):
		why = "it refuses connections"
	case errors.As(err, &unknown), errors.As(err, &host), errors.As(err, &invalid):
		why = "its certificate is not valid"
	case errors.As(err, &timeout) && timeout.Timeout(), errors.Is(err, context.DeadlineExceeded):
		why = "it does not answer"
	}
	return t.failure(KindUnavailable, 0, why)
}

// cut is the error for an answer without an end.
func (t *teller) cut() *Error { return t.failure(KindCut, 0, "") }

// stalled is the error for one that was waited for in vain.
func (t *teller) stalled(waited time.Duration) *Error {
	failed := t.failure(KindCut, 0, "")
	failed.Message = fmt.Sprintf("The model has said nothing for %s, so its answer was given up. Ask again, or choose another model.", span(waited))
	return failed
}

// failure is an error of a kind, with what the provider said about it ("" for nothing).
func (t *teller) failure(kind Kind, status int, said string) *Error {
	passes := kind == KindRateLimited || kind == KindUnavailable || kind == KindCut || kind == KindProvider
	return &Error{Kind: kind, Status: status, Message: t.text(kind, status, said, 0), passes: passes}
}

func (t *teller) text(kind Kind, status int, said string, after time.Duration) string {
	said = t.clean(said)
	quoted, because := "", ""
	if said != "" {
		quoted = fmt.Sprintf(" It says: “%s”.", strings.TrimRight(said, ". "))
		because = fmt.Sprintf(" (%s)", strings.TrimRight(said, ". "))
	}
	model := ""
	if len(t.request.Models) > 0 {
		model = plainName(piece(t.request.Models[0]))
	}
	switch kind {
	case KindNoCredit:
		if t.own {
			return "Your own key at the model provider has no credit left. Add some there, or remove the key in the settings."
		}
		return "The model provider's account of this installation has no credit left. An administrator has to add some there."
	case KindUnauthorized:
		if t.own {
			return "The model provider does not accept your own key. Replace or remove it in the settings."
		}
		return "The model provider does not accept the key of this installation. An administrator has to set another one."
	case KindRateLimited:
		when := "a moment"
		if after > 0 {
			when = span(after)
		}
		return "The model provider takes no more requests just now." + quoted + " Try again in " + when + ", or choose another model."
	case KindUnavailable:
		if status == 0 {
			return "The model provider cannot be reached" + because + ". Try again in a moment; if that does not help, an administrator has to look at the gateway's network."
		}
		return fmt.Sprintf("The model provider has a fault of its own (status %d).%s Try again in a moment, or choose another model.", status, quoted)
	case KindCut:
		return "The model's answer broke off before its end. Ask again, or choose another model."
	case KindContext:
		return "The conversation is longer than this model takes. Begin a new chat, or choose a model with a larger context window."
	case KindProvider:
		return "The model provider reported an error in the middle of the answer." + quoted + " Ask again, or choose another model."
	case KindContentFilter:
		return "The model provider's moderation refused the conversation." + quoted + " Put it in other words, or choose another model."
	case KindBadAnswer:
		return "The model provider does not answer as OpenAI's API does" + because + ". Ask again; if it stays so, an administrator has to check the provider's base URL."
	case KindUnknownModel:
		if model == "" {
			return "No model is chosen. Choose one."
		}
		return "The model provider does not have " + model + ", or not with what is asked of it." + quoted + " Choose another model."
	case KindNotConfigured:
		return "There is no key for the model provider. An administrator has to set one (agent { key … } in the Caddyfile)."
	default:
		return fmt.Sprintf("The model provider does not accept the request (status %d).%s Choose another model, or begin a new chat.", status, quoted)
	}
}

// clean is what a provider said, as it may be shown and logged: short, printable, and without the key and what was asked, which
// some quote back.
func (t *teller) clean(said string) string {
	var b strings.Builder
	n, space := 0, false
	for _, r := range said {
		if n >= maxWords {
			b.WriteString("…")
			break
		}
		if unicode.IsSpace(r) || !unicode.IsPrint(r) {
			space = n > 0
			continue
		}
		if space {
			b.WriteByte(' ')
			n++
			space = false
		}
		b.WriteRune(r)
		n++
	}
	text := b.String()
	if shares(text, t.key, 8, 1) {
		return ""
	}
	for _, m := range t.request.Messages {
		if shares(text, m.Text, 24, 8) {
			return ""
		}
		for _, call := range m.Calls {
			if shares(text, call.Arguments, 24, 8) {
				return ""
			}
		}
	}
	return text
}

// shares says whether a text has so many bytes in a row of a secret, which are looked for at every so many bytes: one that is
// longer by that much is found anywhere. A shorter secret must be there as a whole.
func shares(text, secret string, length, every int) bool {
	if secret == "" {
		return false
	}
	if len(secret) < length {
		return len(secret) >= 4 && strings.Contains(text, secret)
	}
	for i := 0; i+length <= len(text); i += every {
		if strings.Contains(secret, text[i:i+length]) {
			return true
		}
	}
	return false
}

// span is a time as people say it.
func span(d time.Duration) string {
	switch {
	case d < 90*time.Second:
		return fmt.Sprintf("%d seconds", max(1, int(d.Round(time.Second).Seconds())))
	case d < 90*time.Minute:
		return fmt.Sprintf("%d minutes", int(d.Round(time.Minute).Minutes()))
	default:
		return fmt.Sprintf("%d hours", int(d.Round(time.Hour).Hours()))
	}
}
