"""The commands as a process of their own, wired to settings and tokens but to no server."""

import sys

from interfaces.cli.app import MintFlags, ServeFlags, build_app, run


def serve(flags: ServeFlags) -> int:
    from infrastructure.settings import Settings

    settings = Settings(host=flags.host, port=flags.port, data_dir=flags.data_dir)
    print(settings.host, settings.port, settings.data_dir)
    return 0


def mint(flags: MintFlags) -> str:
    from infrastructure.identity import mint_token
    from infrastructure.settings import Settings

    return mint_token(Settings(), flags.sub, flags.scopes, flags.expires)


if __name__ == "__main__":
    code = run(build_app(serve, mint))
    if "show-modules" in sys._xoptions:
        print(*sorted(sys.modules))
    sys.exit(code)
