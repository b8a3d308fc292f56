# Checks tokens, one a line, with PyJWT by the published keys: check.py URL ISSUER AUDIENCE
import sys

import jwt

url, issuer, audience = sys.argv[1:]
keys = jwt.PyJWKClient(url)
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
