package caddymodule

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"

	"github.com/kalpana-dev/kalpana/agent/model"
)

// checkAgent asks the provider of models whether it takes the key and has the models.
func checkAgent(ctx context.Context, p *patient) checkResult {
	c := p.app.agent
	if c.Off {
		return fine("off")
	}
	client, err := model.New(model.Config{BaseURL: c.BaseURL, Key: c.Key})
	if err != nil {
		return failed("Correct agent { base_url … }.", "%v", err)
	}
	defer client.Close()
	host := c.BaseURL
	if u, err := url.Parse(c.BaseURL); err == nil {
		host = u.Host
	}
	switch {
	case !client.Configured() && c.OwnKeys:
		return fine("there is no key for %s: only people with a key of their own have an agent", host)
	case !client.Configured():
		return warning("Set one: agent { key {env.OPENROUTER_API_KEY} }, or leave out own_keys off.", "there is no key for %s, and people may not bring theirs: nobody has an agent", host)
	}
	if err := client.Check(ctx, c.Key); err != nil {
		return unusable(host, err)
	}
	infos, err := client.Models(ctx)
	if err != nil {
		return unusable(host, err)
	}
	return offered(host, c.Models, infos)
}

func unusable(host string, err error) checkResult {
	var fault *model.Error
	if errors.As(err, &fault) {
		switch fault.Kind {
		case model.KindUnauthorized:
			return warning("Set another one: agent { key … }, in the root's Caddyfile OPENROUTER_API_KEY. Is it set for this command as for the gateway?", "%s does not take the key", host)
		case model.KindNoCredit:
			return warning("Add some to its account.", "%s has no credit left for the key", host)
		case model.KindRateLimited:
			return warning("Look again in a minute.", "%s takes no more requests just now", host)
		case model.KindBadAnswer, model.KindRefused, model.KindUnknownModel:
			return warning("Correct agent { base_url … }: it is the address up to /chat/completions, as in https://openrouter.ai/api/v1.", "%s does not answer as OpenAI's API does", host)
		}
	}
	return warning("See that this machine reaches it, or correct agent { base_url … }.", "%s does not answer: %v", host, err)
}

// offered compares the models that are configured with those that the provider has.
func offered(host string, names []string, infos []model.Info) checkResult {
	var missing, dumb []string
	for _, name := range names {
		i := slices.IndexFunc(infos, func(m model.Info) bool { return m.ID == name })
		switch {
		case i < 0:
			missing = append(missing, name)
		case !infos[i].Tools:
			dumb = append(dumb, name)
		}
	}
	const do = "Correct agent { models … }."
	switch {
	case len(missing) > 0:
		return warning(do, "%s has no model %s", host, strings.Join(missing, ", "))
	case len(dumb) > 0:
		return warning(do, "%s: an agent cannot work with %s, which calls no tools", host, strings.Join(dumb, ", "))
	case len(names) == 0:
		return fine("%s has %d models", host, len(infos))
	}
	return fine("%s takes the key; models: %s", host, fmt.Sprint(len(names)))
}
