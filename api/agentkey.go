package api

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/kalpana-dev/kalpana/agent/model"
	"github.com/kalpana-dev/kalpana/identity"
)

// keyCheckTime is how long the provider may take to say whether it takes a key.
const keyCheckTime = 10 * time.Second

// AgentKey tells of a person's own key at the provider of models, and never the key.
type AgentKey struct {
	Set       bool       `json:"set" doc:"Whether you have one."`
	Last      string     `json:"last,omitempty" doc:"Its last four characters."`
	UpdatedAt *time.Time `json:"updatedAt,omitempty"`
	Note      string     `json:"note,omitempty" doc:"For you to read: that the provider could not be asked whether it takes the key."`
}

// NewAgentKey is a person's own key.
type NewAgentKey struct {
	Key string `json:"key" minLength:"1" maxLength:"1024" doc:"As the provider shows it. It is kept encrypted, and asked for models with in your name."`
}

type newAgentKeyInput struct{ Body NewAgentKey }

var errOwnKeysOff = errors.New("keys of one's own are off here; the agent asks models with the installation's key")

func (h *Handler) agentKeyRoutes() {
	huma.Register(h.huma, h.operation("GET", "/api/agent/key", "getAgentKey", "Tell of your own key at the provider of models", 200, agentTag),
		func(ctx context.Context, _ *struct{}) (*struct{ Body AgentKey }, error) {
			k, has, err := h.cfg.Identity.OwnModelKey(ctx, callerOf(ctx).Person.ID)
			if err != nil {
				return nil, h.problem(err)
			}
			return &struct{ Body AgentKey }{agentKeyView(k, has)}, nil
		})
	huma.Register(h.huma, h.operation("PUT", "/api/agent/key", "setAgentKey", "Set your own key at the provider of models", 200, agentTag),
		func(ctx context.Context, in *newAgentKeyInput) (*struct{ Body AgentKey }, error) {
			if !h.cfg.Agent.OwnKeys {
				return nil, h.problem(errOwnKeysOff)
			}
			key, err := identity.CleanModelKey(in.Body.Key)
			if err != nil {
				return nil, h.problem(err)
			}
			note, err := h.checkKey(ctx, key)
			if err != nil {
				return nil, h.problem(err)
			}
			k, err := h.cfg.Identity.SetModelKey(ctx, callerOf(ctx), key)
			if err != nil {
				return nil, h.problem(err)
			}
			view := agentKeyView(k, true)
			view.Note = note
			return &struct{ Body AgentKey }{view}, nil
		})
	huma.Register(h.huma, h.operation("DELETE", "/api/agent/key", "deleteAgentKey", "Remove your own key at the provider of models", 204, agentTag),
		func(ctx context.Context, _ *struct{}) (*struct{}, error) {
			return nil, h.problem(h.cfg.Identity.DeleteModelKey(ctx, callerOf(ctx)))
		})
}

func agentKeyView(k identity.ModelKey, has bool) AgentKey {
	if !has {
		return AgentKey{}
	}
	return AgentKey{Set: true, Last: k.Last, UpdatedAt: optional(k.UpdatedAt)}
}

// checkKey asks the provider whether it takes a key. Where it does not answer, or knows no such question, the key is
// taken, with a note: the first call of a model will tell.
func (h *Handler) checkKey(ctx context.Context, key string) (note string, err error) {
	if h.cfg.Agent.CheckKey == nil {
		return "", nil
	}
	inTime, cancel := context.WithTimeout(ctx, keyCheckTime)
	defer cancel()
	err = h.cfg.Agent.CheckKey(inTime, key)
	if err == nil {
		return "", nil
	}
	if ctx.Err() != nil {
		return "", ctx.Err()
	}
	var fault *model.Error
	if errors.As(err, &fault) {
		switch fault.Kind {
		case model.KindUnauthorized:
			text := "The provider does not take this key. Copy it again from your account there, or make another one."
			return "", huma.NewError(http.StatusUnprocessableEntity, text, &huma.ErrorDetail{Message: text, Location: "body.key"})
		case model.KindNoCredit:
			return "It is saved, but the provider says that its account has no credit left: add some there.", nil
		}
	}
	return "It is saved, but the provider could not be asked whether it takes the key. The agent will tell when it is used.", nil
}
