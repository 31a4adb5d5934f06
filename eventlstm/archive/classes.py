"""The classes that an archive may name: no other is ever made of what it says."""

from __future__ import annotations

from imblearn.combine import SMOTEENN, SMOTETomek
from imblearn.over_sampling import ADASYN, SMOTE, SMOTENC, BorderlineSMOTE, RandomOverSampler
from imblearn.under_sampling import EditedNearestNeighbours, NearMiss, RandomUnderSampler, TomekLinks
from sklearn.ensemble import ExtraTreesClassifier, HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.impute import MissingIndicator, SimpleImputer
from sklearn.model_selection import FixedThresholdClassifier
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import MinMaxScaler, RobustScaler, StandardScaler

from ..alarms.alarm_policy import AlarmPolicy
from ..alarms.dynamic_threshold import DynamicThreshold
from ..alarms.labelled import LabelledThreshold
from ..alarms.streaming_tail_threshold import StreamingTailThreshold
from ..alarms.unlabelled import AutoThreshold, QuantileThreshold, TailThreshold
from ..detectors.anomaly_detector import AnomalyDetector
from ..detectors.error_scorer import ErrorScorer
from ..detectors.event_blend import EventBlend
from ..detectors.event_classifier import EventClassifier
from ..detectors.outlier_classifier import OutlierClassifier
from ..logs.causal_features import CausalFeatures
from ..logs.flatten_windows import FlattenWindows
from ..logs.forward_fill import ForwardFill
from ..logs.input_scaler import InputScaler
from ..losses.choice import LOSSES
from ..recurrent.balanced_bagging_lstm_classifier import BalancedBaggingLSTMClassifier
from ..recurrent.lstm_autoencoder import LSTMAutoencoder
from ..recurrent.lstm_classifier import LSTMClassifier
from ..recurrent.lstm_forecaster import LSTMForecaster
from ..recurrent.lstm_tagger import LSTMTagger
from ..sampling.temporal_oversampler import TemporalOversampler
from ..sampling.window_sampler import WindowSampler
from ..training.augmentation import Augmentation

CLASSES: dict[str, type] = {
    cls.__name__: cls
    for cls in (
        *LOSSES.values(),
        ADASYN,
        AlarmPolicy,
        AnomalyDetector,
        Augmentation,
        AutoThreshold,
        BalancedBaggingLSTMClassifier,
        BorderlineSMOTE,
        CausalFeatures,
        DynamicThreshold,
        EditedNearestNeighbours,
        ErrorScorer,
        EventBlend,
        EventClassifier,
        ExtraTreesClassifier,
        FixedThresholdClassifier,
        FlattenWindows,
        ForwardFill,
        HistGradientBoostingClassifier,
        InputScaler,
        LSTMAutoencoder,
        LSTMClassifier,
        LSTMForecaster,
        LSTMTagger,
        LabelledThreshold,
        MinMaxScaler,
        MissingIndicator,
        NearMiss,
        OutlierClassifier,
        Pipeline,
        QuantileThreshold,
        RandomForestClassifier,
        RandomOverSampler,
        RandomUnderSampler,
        RobustScaler,
        SMOTE,
        SMOTEENN,
        SMOTENC,
        SMOTETomek,
        SimpleImputer,
        StandardScaler,
        StreamingTailThreshold,
        TailThreshold,
        TemporalOversampler,
        TomekLinks,
        WindowSampler,
    )
}
