package oidc_test

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"math/big"
	"net/http"
	"net/http/httptest"
	"net/url"
	"sync"
	"time"
)

const (
	issuerURL = "https://login.test/realms/corp"
	clientID  = "kalpana"
)

var b64 = base64.RawURLEncoding

// key signs what the issuer says; stray is a key that it never published.
var key, stray = sync.OnceValue(newKey), sync.OnceValue(newKey)

func newKey() *rsa.PrivateKey {
	k, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		panic(err)
	}
	return k
}

type object = map[string]any

// issuer is an OpenID provider that tells the truth until a test changes what it says. It keeps no
// codes: whatever it is asked, it answers.
type issuer struct {
	down      bool
	discovery object // changes of the metadata; nil values remove
	claims    object // changes of the ID token's claims; nil values remove
	header    object // changes of its header
	sign      func(text string) string
	userinfo  object
	token     object // changes of the token endpoint's answer

	nonce    string // of the last authorization request
	asked    []string
	lastForm url.Values
	lastAuth string
}

// RoundTrip implements http.RoundTripper, without a network.
func (i *issuer) RoundTrip(r *http.Request) (*http.Response, error) {
	w := httptest.NewRecorder()
	i.asked = append(i.asked, r.URL.Path)
	switch {
	case i.down:
		http.Error(w, "out of order", http.StatusServiceUnavailable)
	case r.URL.Path == "/realms/corp/.well-known/openid-configuration":
		i.answer(w, object{
			"issuer": issuerURL, "authorization_endpoint": issuerURL + "/auth", "token_endpoint": issuerURL + "/token",
			"jwks_uri": issuerURL + "/keys", "userinfo_endpoint": issuerURL + "/me", "id_token_signing_alg_values_supported": []string{"RS256", "none", "HS256"},
		}, i.discovery)
	case r.URL.Path == "/realms/corp/keys":
		i.answer(w, object{"keys": []object{{
			"kty": "RSA", "kid": "1", "use": "sig", "n": b64.EncodeToString(key().N.Bytes()), "e": b64.EncodeToString(big.NewInt(int64(key().E)).Bytes()),
		}}}, nil)
	case r.URL.Path == "/realms/corp/token":
		_ = r.ParseForm()
		i.lastForm, i.lastAuth = r.Form, r.Header.Get("Authorization")
		i.answer(w, object{"access_token": "access", "token_type": "Bearer", "expires_in": 300, "id_token": i.idToken()}, i.token)
	case r.URL.Path == "/realms/corp/me" && i.userinfo != nil:
		i.answer(w, i.userinfo, nil)
	default:
		http.NotFound(w, r)
	}
	resp := w.Result()
	resp.Request = r
	return resp, nil
}

func (i *issuer) answer(w http.ResponseWriter, body, changes object) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(changed(body, changes))
}

func changed(body, changes object) object {
	for name, value := range changes {
		if value == nil {
			delete(body, name)
		} else {
			body[name] = value
		}
	}
	return body
}

func (i *issuer) idToken() string {
	now := time.Now()
	part := func(o object) string {
		text, err := json.Marshal(o)
		if err != nil {
			panic(err)
		}
		return b64.EncodeToString(text)
	}
	text := part(changed(object{"alg": "RS256", "kid": "1"}, i.header)) + "." + part(changed(object{
		"iss": issuerURL, "aud": clientID, "sub": "mona", "nonce": i.nonce, "iat": now.Unix(), "exp": now.Add(time.Minute).Unix(),
		"email": "Mona@Corp.com", "email_verified": true, "name": "Mona Lisa", "preferred_username": "mona", "groups": []string{"developers"},
	}, i.claims))
	if i.sign != nil {
		return text + "." + i.sign(text)
	}
	return text + "." + signedBy(key())(text)
}

func signedBy(k *rsa.PrivateKey) func(string) string {
	return func(text string) string {
		sum := sha256.Sum256([]byte(text))
		signature, err := rsa.SignPKCS1v15(rand.Reader, k, crypto.SHA256, sum[:])
		if err != nil {
			panic(err)
		}
		return b64.EncodeToString(signature)
	}
}
