package api

import (
	"context"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/kalpana-dev/kalpana/credential"
)

// GitToken is a git server that one's workspaces sign in at.
type GitToken struct {
	Server    string    `json:"server" doc:"Its address, e.g. https://git.example.com."`
	Username  string    `json:"username" doc:"Empty where the server does not ask for one."`
	CreatedAt time.Time `json:"createdAt"`
	UpdatedAt time.Time `json:"updatedAt"`
}

// GitTokens is a list of git servers.
type GitTokens struct {
	Tokens []GitToken `json:"tokens" nullable:"false"`
}

// NewGitToken is a token for a git server.
type NewGitToken struct {
	Server   string `json:"server" minLength:"1" maxLength:"300" doc:"The server's address. Without a scheme it is https."`
	Username string `json:"username,omitempty" maxLength:"128" doc:"Where the server asks for one besides the token."`
	Token    string `json:"token" minLength:"1" maxLength:"1024" doc:"An access token of the server's that may read and write repositories. It is kept sealed and never shown again."`
}

// GitQuestion is a repository that a program in a workspace wants to sign in at.
type GitQuestion struct {
	ID         string    `json:"id"`
	Workspace  string    `json:"workspace"`
	Server     string    `json:"server"`
	Repository string    `json:"repository" doc:"Its path on the server."`
	AskedAt    time.Time `json:"askedAt"`
}

// GitQuestions is a list of questions.
type GitQuestions struct {
	Questions []GitQuestion `json:"questions" nullable:"false"`
}

// GitAnswer is one's word on a question.
type GitAnswer struct {
	Allow bool `json:"allow"`
	Hours int  `json:"hours,omitempty" minimum:"0" maximum:"24" doc:"For how long programs in that workspace may sign in at the repository; 0 is this once."`
}

// GitIdentity is in whose name one's commits are.
type GitIdentity struct {
	Name  string `json:"name" maxLength:"256" doc:"Empty where you chose none."`
	Email string `json:"email" maxLength:"254" doc:"Empty where you chose none. Nobody checks that it is yours."`
}

// GitIdentityView is that, and what holds where nothing was chosen.
type GitIdentityView struct {
	GitIdentity
	DefaultName  string `json:"defaultName" doc:"Your name here."`
	DefaultEmail string `json:"defaultEmail" doc:"What a login provider has vouched for, or empty: then git asks for one."`
}

type gitTokenInput struct{ Body NewGitToken }

type gitServerInput struct {
	Server string `query:"server" required:"true" maxLength:"300" doc:"The git server's address, from the list."`
}

type gitAnswerInput struct {
	ID   string `path:"id" maxLength:"64" doc:"Question id, from the list."`
	Body GitAnswer
}

func (h *Handler) gitRoutes() {
	const tag = "git"
	huma.Register(h.huma, h.operation("GET", "/api/git-tokens", "listGitTokens", "List the git servers that you gave a token for", 200, tag),
		func(ctx context.Context, _ *struct{}) (*struct{ Body GitTokens }, error) {
			tokens, err := h.cfg.Identity.GitTokens(ctx, callerOf(ctx).Person.ID)
			if err != nil {
				return nil, h.problem(err)
			}
			list := make([]GitToken, 0, len(tokens))
			for _, t := range tokens {
				list = append(list, GitToken(t))
			}
			return &struct{ Body GitTokens }{GitTokens{list}}, nil
		})
	huma.Register(h.huma, h.operation("PUT", "/api/git-tokens", "setGitToken", "Give a token for a git server, which your workspaces sign in with", 204, tag),
		func(ctx context.Context, in *gitTokenInput) (*struct{}, error) {
			return nil, h.problem(h.cfg.Identity.SetGitToken(ctx, callerOf(ctx), in.Body.Server, in.Body.Username, in.Body.Token))
		})
	huma.Register(h.huma, h.operation("DELETE", "/api/git-tokens", "deleteGitToken", "Forget your token for a git server", 204, tag),
		func(ctx context.Context, in *gitServerInput) (*struct{}, error) {
			return nil, h.problem(h.cfg.Identity.DeleteGitToken(ctx, callerOf(ctx), in.Server))
		})
	huma.Register(h.huma, h.operation("GET", "/api/git-identity", "getGitIdentity", "In whose name your commits are", 200, tag),
		func(ctx context.Context, _ *struct{}) (*struct{ Body GitIdentityView }, error) {
			p, err := h.cfg.Identity.Person(ctx, callerOf(ctx).Person.ID)
			if err != nil {
				return nil, h.problem(err)
			}
			return &struct{ Body GitIdentityView }{GitIdentityView{GitIdentity{p.GitName, p.GitEmail}, p.Name, p.Email}}, nil
		})
	huma.Register(h.huma, h.operation("PUT", "/api/git-identity", "setGitIdentity", "Set in whose name your commits are", 204, tag),
		func(ctx context.Context, in *struct{ Body GitIdentity }) (*struct{}, error) {
			caller := callerOf(ctx)
			if err := h.cfg.Identity.SetGitIdentity(ctx, caller, in.Body.Name, in.Body.Email); err != nil {
				return nil, h.problem(err)
			}
			if h.cfg.Committer != nil {
				h.cfg.Committer(caller.Person.ID)
			}
			return nil, nil
		})
	huma.Register(h.huma, h.operation("GET", "/api/git-questions", "listGitQuestions", "List the repositories that programs in your workspaces wait to sign in at", 200, tag),
		func(ctx context.Context, _ *struct{}) (*struct{ Body GitQuestions }, error) {
			return &struct{ Body GitQuestions }{GitQuestions{h.questions(callerOf(ctx).Person.ID)}}, nil
		})
	huma.Register(h.huma, h.operation("POST", "/api/git-questions/{id}", "answerGitQuestion", "Let a program in a workspace of yours sign in at a repository, or not", 204, tag),
		func(ctx context.Context, in *gitAnswerInput) (*struct{}, error) {
			return nil, h.problem(h.answer(callerOf(ctx).Person.ID, in.ID, in.Body))
		})
}

// questions returns those that wait for a person.
func (h *Handler) questions(person string) []GitQuestion {
	list := []GitQuestion{}
	if h.cfg.Credentials == nil {
		return list
	}
	for _, q := range h.cfg.Credentials.Pending(person) {
		list = append(list, GitQuestion{
			ID: q.ID, Workspace: string(q.Workspace), Server: q.Server, Repository: q.Repository, AskedAt: q.AskedAt,
		})
	}
	return list
}

func (h *Handler) answer(person, id string, a GitAnswer) error {
	if h.cfg.Credentials == nil {
		return credential.ErrAnswered
	}
	return h.cfg.Credentials.Answer(person, id, a.Allow, time.Duration(a.Hours)*time.Hour)
}

// watchQuestions returns a channel that tells of changes, until stop is called.
func (h *Handler) watchQuestions() (changes <-chan struct{}, stop func()) {
	if h.cfg.Credentials == nil {
		return nil, func() {}
	}
	return h.cfg.Credentials.Watch()
}
