package tools

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"reflect"
	"strings"

	"github.com/kalpana-dev/kalpana/bridge"
)

// maxTitle bounds what Title returns, in bytes.
const maxTitle = 120

// define completes a tool whose input is a P: it is decoded strictly for run, and as far as it goes for title.
func define[P any](t Tool, title func(p *P) string, run func(ctx context.Context, env *Env, call Call, p *P) (*Result, error)) Tool {
	t.Title = func(input json.RawMessage) string {
		var p P
		_ = json.Unmarshal(input, &p)
		return bridge.Printable(title(&p), maxTitle)
	}
	t.Run = func(ctx context.Context, env *Env, call Call) (*Result, error) {
		p := new(P)
		if err := decode(t.Name, call.Input, p); err != nil {
			return nil, err
		}
		return run(ctx, env, call, p)
	}
	return t
}

// decode reads the input of a call. Its errors are for the model: they say what is wrong and what would be right.
func decode(tool string, input json.RawMessage, p any) error {
	if len(bytes.TrimSpace(input)) == 0 {
		input = []byte("{}")
	}
	dec := json.NewDecoder(bytes.NewReader(input))
	dec.DisallowUnknownFields()
	err := dec.Decode(p)
	if err == nil {
		if _, more := dec.Token(); !errors.Is(more, io.EOF) {
			err = errors.New("there is something after the JSON object")
		}
	}
	if err == nil {
		return nil
	}
	var kind *json.UnmarshalTypeError
	reason := strings.TrimPrefix(err.Error(), "json: ")
	switch name, unknown := strings.CutPrefix(reason, "unknown field "); {
	case unknown:
		reason = fmt.Sprintf("there is no parameter %s", name)
	case errors.As(err, &kind) && kind.Field == "":
		reason = "it must be a JSON object, not " + article(kind.Value)
	case errors.As(err, &kind):
		reason = fmt.Sprintf("%s must be %s, not %s", kind.Field, kindOf(kind.Type), article(kind.Value))
	case errors.Is(err, io.ErrUnexpectedEOF):
		reason = "the JSON is cut off"
	}
	return fmt.Errorf("invalid input for %s: %s. Its parameters are: %s", tool, bridge.Printable(reason, 300), strings.Join(parameters(p), ", "))
}

// parameters are the names of a struct's fields in JSON.
func parameters(p any) (names []string) {
	t := reflect.TypeOf(p).Elem()
	for i := range t.NumField() {
		name, options, _ := strings.Cut(t.Field(i).Tag.Get("json"), ",")
		if options == "" {
			name += " (required)"
		}
		names = append(names, name)
	}
	return names
}

func kindOf(t reflect.Type) string {
	switch t.Kind() {
	case reflect.String:
		return "a string"
	case reflect.Bool:
		return "true or false"
	case reflect.Slice:
		return "an array"
	case reflect.Struct, reflect.Map:
		return "an object"
	}
	return "a whole number"
}

func article(what string) string {
	what, _, _ = strings.Cut(what, " ") // "number 1.5"
	switch what {
	case "bool":
		return "true or false"
	case "array", "object":
		return "an " + what
	}
	return "a " + what
}

// required is the error for a parameter that is not there.
func required(tool, name string) error {
	return fmt.Errorf("invalid input for %s: %s is required", tool, name)
}

// connect returns the connection to the workspace.
func (env *Env) connect(ctx context.Context) (*bridge.Client, error) {
	cl, err := env.Bridge(ctx)
	return cl, workspaceError(ctx, err)
}

// ask makes a call that can be made twice: once more on a new connection, where the first one was cut.
func ask[R any](ctx context.Context, env *Env, call func(cl *bridge.Client) (*R, error)) (*R, error) {
	for tries := 0; ; tries++ {
		cl, err := env.connect(ctx)
		if err != nil {
			return nil, err
		}
		r, err := call(cl)
		if err == nil || !errors.Is(err, bridge.ErrClosed) || tries == 2 {
			return r, workspaceError(ctx, err)
		}
	}
}

var errCut = errors.New("the connection to the workspace was cut: whether this was done is not known. Look before trying again")

// once makes a call that must not be made twice: it may have been carried out although its answer did not come.
func once[R any](ctx context.Context, env *Env, call func(cl *bridge.Client) (*R, error)) (*R, error) {
	for tries := 0; ; tries++ {
		cl, err := env.connect(ctx)
		if err != nil {
			return nil, err
		}
		r, err := call(cl)
		switch {
		case errors.Is(err, bridge.ErrNotSent) && tries < 2:
			continue
		case errors.Is(err, bridge.ErrClosed):
			return nil, errCut
		}
		return r, workspaceError(ctx, err)
	}
}

// workspaceError marks an error that is none of the call's own.
func workspaceError(ctx context.Context, err error) error {
	var named *bridge.Error
	switch {
	case err == nil, errors.As(err, &named), errors.Is(err, ErrWorkspace):
		return err
	case ctx.Err() != nil:
		return ctx.Err()
	}
	return fmt.Errorf("%w: %w", ErrWorkspace, err)
}
