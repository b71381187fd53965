"""Class tx (90): transactions. Specification, section 1.9."""

from warren.wire.methods.base import Method, Side


class TxSelect(Method, index=(90, 10), by=Side.CLIENT):
    """Make the channel transactional."""


class TxSelectOk(Method, index=(90, 11), by=Side.SERVER):
    """The channel is transactional."""


class TxCommit(Method, index=(90, 20), by=Side.CLIENT):
    """Carry out what the transaction holds and begin another."""


class TxCommitOk(Method, index=(90, 21), by=Side.SERVER):
    """It is carried out."""


class TxRollback(Method, index=(90, 30), by=Side.CLIENT):
    """Drop what the transaction holds and begin another."""


class TxRollbackOk(Method, index=(90, 31), by=Side.SERVER):
    """It is dropped."""
