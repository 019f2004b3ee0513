"""The sample application as a member of the cast: shop.address, shop.stats()."""

import re
import sys
from pathlib import Path

from stage.client import Client
from stage.process import Process
from stage.waiting import ports, wait_until

APP = Path(__file__).resolve().parents[3] / "sample" / "app.py"


class Shop:
    def __init__(self, directory, *options, products=100):
        self.address = f"127.0.0.1:{ports.free()}"
        command = [sys.executable, APP, "--port", self.address.split(":")[1], "--db", f"{directory}/shop.sqlite",
                   "--products", products, "--quiet", *options]
        self.process = Process("shop", command, f"{directory}/shop.log", cwd=directory)
        wait_until(lambda: re.search("listening", self.process.log()), lambda: f"the shop to open\n{self.process.tail()}")

    def on(self, *_):
        raise AssertionError("the shop has no script")

    def stats(self):
        with Client(self.address) as client:
            return client.get("/stats").expect(200).json()

    def __str__(self):
        return self.address

    def close(self):
        if self.process.is_running:
            self.process.child.terminate()
            assert self.process.wait_exit() == 0, self.process.tail()
        assert "Traceback" not in self.process.log(), self.process.tail()
