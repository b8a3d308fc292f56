# Checks tokens, one a line, with PyJWT by the published keys: check.py URL ISSUER AUDIENCE
import sys

import jwt

url, issuer, audience = sys.argv[1:]
# It asks again for a key it does not know, but not within a pause; the time of the tests has none.
keys = jwt.PyJWKClient(url, cooldown_duration=0)
for line in sys.stdin:
    token = line.strip()
    try:
        key = keys.get_signing_key_from_jwt(token)
        claims = jwt.decode_complete(
            token,
            key,
            algorithms=["EdDSA"],
            issuer=issuer,
            audience=audience,
            options={"require": ["iss", "aud", "sub", "exp", "nbf", "iat", "jti"]},
        )
        if claims["header"]["typ"] != "at+jwt":
            raise jwt.InvalidTokenError("it is no access token")
        print("good", claims["payload"]["sub"], flush=True)
    except jwt.PyJWTError as error:
        print("refused", type(error).__name__, flush=True)
