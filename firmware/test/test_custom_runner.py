"""`pio test`: programs that print ``name:PASS`` or ``name:FAIL: why`` per test, and ``done`` at the end."""

import re

import click
from platformio.test.result import TestCase, TestStatus
from platformio.test.runners.base import TestRunnerBase

LINE = re.compile(r"(?P<name>\w+):(?P<status>PASS|FAIL)(: (?P<why>.*))?$")


class CustomTestRunner(TestRunnerBase):
    """Reads the lines; that a program ended without ``done`` (a crash, a hang) is a failure of its own."""

    _done = False

    def on_testing_line_output(self, line: str) -> None:
        click.echo(line, nl=False)
        if found := LINE.match(line.strip()):
            status = TestStatus.PASSED if found["status"] == "PASS" else TestStatus.FAILED
            self.test_suite.add_case(TestCase(name=found["name"], status=status, message=found["why"]))
        self._done |= line.strip() == "done"

    def teardown(self) -> None:
        if not self._done and not self.options.without_testing:
            self.test_suite.add_case(
                TestCase(name="completes", status=TestStatus.FAILED, message="ended before the last test")
            )
